"""The phantom's heart: disease groups, an analytic bi-ventricular shape, and its solution for target volumes.

All lengths are millimetres and all volumes millilitres. The heart's own frame has its origin on the long axis of the
left ventricle: `a` points to the right ventricle, `b` to the diaphragm, `z` from the mitral plane to the apex.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

MYOCARDIAL_DENSITY = 1.05
"""Grams per millilitre."""


@dataclass(frozen=True)
class Ranges:
    """What one disease group looks like: (lowest, highest) of each clinical figure."""

    lv_edv: tuple[float, float]
    lv_ef: tuple[float, float]
    mass: tuple[float, float]
    """Left-ventricular myocardial mass at end-diastole, grams."""
    rv_edv: tuple[float, float]
    rv_ef: tuple[float, float]


RANGES: dict[str, Ranges] = {
    "NOR": Ranges((95, 170), (0.55, 0.68), (75, 135), (105, 185), (0.47, 0.64)),
    "MINF": Ranges((130, 230), (0.20, 0.42), (95, 150), (85, 160), (0.45, 0.66)),
    "DCM": Ranges((210, 340), (0.10, 0.30), (135, 215), (105, 250), (0.20, 0.50)),
    "HCM": Ranges((80, 165), (0.60, 0.80), (150, 255), (75, 160), (0.50, 0.70)),
    "RV": Ranges((70, 155), (0.47, 0.62), (62, 115), (165, 270), (0.15, 0.42)),
}
"""Clinical ranges by group, close to those of ACDC's training set (Bernard et al., IEEE TMI 37(11), 2018)."""

GROUPS = tuple(RANGES)


@dataclass(frozen=True)
class Heart:
    """One patient's heart: what stays the same from phase to phase, and the volumes that the phases must reach."""

    group: str
    lv_edv: float
    lv_ef: float
    mass: float
    rv_edv: float
    rv_ef: float
    length: float
    """Cavity length from the mitral plane to the apex at end-diastole."""
    descent: float
    """How far the mitral plane moves towards the apex at end-systole."""
    es_mass_gain: float
    """Contours at end-systole measure a little more muscle: papillaries and trabeculae merge with the wall."""
    oval: tuple[float, float, float, float]
    """Amplitude and angle of the second and third harmonic of the left ventricle's outline."""
    septal_flattening: float
    septal_thickening: float
    infarct: float
    """1 with an infarct, 0 without."""
    infarct_angle: float
    infarct_level: float
    """Centre of the infarct along the long axis, as a fraction of its length."""
    infarct_thinning: float
    axis: tuple[float, float, float]
    """Drift of the long axis per mm of depth along (a, b), and its curvature."""
    base_tilt: tuple[float, float]
    """Rise of the tricuspid plane per mm along (a, b); the mitral plane lies in the slices."""
    rv_base: float
    """Where the right ventricle begins, relative to the mitral plane."""
    rv_end: float
    """Where the right ventricle ends, as a fraction of the left ventricle's length."""
    rv_height: float
    """Half-height of the right ventricle relative to the left ventricle's epicardial radius."""
    rv_power: float
    rv_triangle: float
    rv_skew: float
    rv_wall: float
    """Thickness of the right ventricle's free wall."""


@dataclass(frozen=True)
class Phase:
    """The heart at one moment: the sizes that reach its target volumes."""

    heart: Heart
    radius: float
    """Endocardial radius at the base."""
    wall: float
    """Wall thickness at the base, away from septum and infarct."""
    length: float
    base: float
    """z of the mitral plane."""
    rv_reach: float
    """How far the right ventricle stands out beyond the septum at the base."""
    rest_radius: float
    """End-diastolic radius and wall, which an infarct keeps at end-systole."""
    rest_wall: float
    systole: float
    """0 at end-diastole, 1 at end-systole."""


def sample_heart(rng: np.random.Generator, group: str) -> Heart:
    """Draw a patient of `group`; volumes and mass share one body-size factor, so that they correlate."""
    ranges, size = RANGES[group], rng.uniform(0.1, 0.9)

    def sized(low: float, high: float, share: float = 0.6) -> float:
        return low + (high - low) * (share * size + (1 - share) * rng.uniform(0.06, 0.94))

    def plain(low: float, high: float) -> float:
        return rng.uniform(low + 0.06 * (high - low), high - 0.06 * (high - low))

    lv_edv, ef = sized(*ranges.lv_edv), plain(*ranges.lv_ef)
    infarct = 1.0 if group == "MINF" else 0.0
    return Heart(
        group=group,
        lv_edv=lv_edv,
        lv_ef=ef,
        mass=sized(*ranges.mass),
        rv_edv=sized(*ranges.rv_edv),
        rv_ef=plain(*ranges.rv_ef),
        length=float(np.clip(86 * (lv_edv / 130) ** 0.28 * rng.normal(1, 0.05), 68, 118)),
        descent=rng.uniform(11, 16) * ef / 0.6,
        es_mass_gain=rng.uniform(1.02, 1.12),
        oval=(rng.uniform(0.0, 0.06), rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.03), rng.uniform(0, 2 * np.pi)),
        septal_flattening=rng.uniform(0.08, 0.22) if group == "RV" else rng.uniform(0.0, 0.05),
        septal_thickening=rng.uniform(0.25, 0.8) if group == "HCM" else rng.uniform(-0.05, 0.12),
        infarct=infarct,
        infarct_angle=rng.uniform(0, 2 * np.pi),
        infarct_level=rng.uniform(0.45, 0.75),
        infarct_thinning=rng.uniform(0.3, 0.5),
        axis=(rng.normal(0.08, 0.10), rng.normal(0.06, 0.10), rng.normal(0, 0.0012)),
        base_tilt=(rng.normal(0, 0.04), rng.normal(0, 0.04)),
        rv_base=rng.normal(0, 3.5),
        rv_end=rng.uniform(0.88, 1.02) if group == "RV" else rng.uniform(0.78, 0.95),
        rv_height=rng.uniform(1.12, 1.42) if group == "RV" else rng.uniform(1.05, 1.35),
        rv_power=rng.uniform(2.0, 2.7),
        rv_triangle=rng.uniform(0.0, 0.3),
        rv_skew=rng.uniform(-0.35, 0.05),
        rv_wall=rng.uniform(3.0, 5.5) if group == "RV" else rng.uniform(2.2, 3.4),
    )


def _taper(depth: np.ndarray) -> np.ndarray:
    """Radius along the long axis, 1 at the base (depth 0) and above, 0 at the apex (depth 1) and below."""
    return np.sqrt(np.clip(1 - np.clip(depth, 0, 1) ** 2.3, 0, 1))


def lv_radii(
    phase: Phase, cosine: np.ndarray, sine: np.ndarray, z: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Endocardial and epicardial radius in mm along the directions (cosine, sine) at depth `z`."""
    heart, depth = phase.heart, np.asarray(z, np.float32) - phase.base
    amplitude2, angle2, amplitude3, angle3 = heart.oval
    cosine2, sine2 = 2 * cosine**2 - 1, 2 * sine * cosine
    cosine3, sine3 = cosine2 * cosine - sine2 * sine, sine2 * cosine + cosine2 * sine
    septum = np.exp(2.5 * (cosine - 1))
    outline = 1 + amplitude2 * (cosine2 * np.cos(angle2) + sine2 * np.sin(angle2)) - heart.septal_flattening * septum
    outline = outline + amplitude3 * (cosine3 * np.cos(angle3) + sine3 * np.sin(angle3))
    scar = 0.0
    if heart.infarct:
        towards = cosine * np.cos(heart.infarct_angle) + sine * np.sin(heart.infarct_angle)
        level = np.exp(-((depth / phase.length - heart.infarct_level) ** 2) / 0.12)
        scar = np.exp(2.2 * (towards - 1)) * level
    inner = (phase.radius + 0.85 * scar * (phase.rest_radius - phase.radius)) * outline
    healthy = phase.wall * (1 + heart.septal_thickening * septum)
    thinned = phase.rest_wall * (1 - heart.infarct_thinning)
    wall = np.maximum(healthy * (1 - scar) + thinned * scar, 4.0)
    outer = (inner + wall) * _taper(depth / (phase.length + 0.8 * phase.wall))
    return inner * _taper(depth / phase.length), outer


def rv_distance(
    phase: Phase, a: np.ndarray, b: np.ndarray, z: np.ndarray | float, epicardium: np.ndarray
) -> np.ndarray:
    """About the distance in mm to the right ventricle's outline (negative inside), before the septum is cut out.

    `epicardium` is the left ventricle's epicardial radius in mm at depth `z`, towards the septum.
    """
    heart = phase.heart
    level = np.clip((np.asarray(z, np.float32) - phase.base - heart.rv_base) / (heart.rv_end * phase.length), 0, 1)
    reach = phase.rv_reach * (1 - level) ** 0.75
    centre = 0.52 * epicardium
    front = np.maximum(epicardium + reach - centre, 0.5)
    fullness = heart.rv_height * (1 - 0.06 * phase.systole) * np.clip(0.7 + reach / 50, 0.3, 1)
    half_b = fullness * epicardium * np.sqrt(1 - level**2.2) + 0.12 * np.maximum(reach, 0)
    along, across = a - centre, b - (heart.rv_skew + 0.5 * level) * reach
    half_b = np.maximum(half_b * (1 - heart.rv_triangle * np.clip(along / front, -0.2, 1)), 0.5)
    half_a = np.where(along > 0, front, np.maximum(0.5 * epicardium, 0.5))
    power = heart.rv_power
    form = ((np.abs(along) / half_a) ** power + (np.abs(across) / half_b) ** power) ** (1 / power)
    return np.hypot(along, across) * (1 - 1 / np.maximum(form, 1e-3))


def solve_phases(heart: Heart, levels: np.ndarray, thickness: float) -> tuple[Phase, Phase]:
    """The end-diastolic and end-systolic phase whose volumes, summed over slices, reach the heart's targets.

    `levels` (slices, thin slices) holds depths in mm and `thickness` the depth that each stands for. A slice counts
    whole or not at all at the base, by its centre, as it does in the masks.
    """
    start = Phase(heart, 25.0, 9.0, heart.length, 0.0, 20.0, 25.0, 9.0, 0.0)
    diastole = _solve(start, levels, thickness, heart.lv_edv, heart.mass, heart.rv_edv)
    systole = replace(
        diastole,
        length=heart.length - heart.descent,
        base=heart.descent,
        rest_radius=diastole.radius,
        rest_wall=diastole.wall,
        systole=1.0,
    )
    muscle = heart.mass * heart.es_mass_gain
    volumes = heart.lv_edv * (1 - heart.lv_ef), muscle, heart.rv_edv * (1 - heart.rv_ef)
    return diastole, _solve(systole, levels, thickness, *volumes)


def _solve(phase: Phase, levels: np.ndarray, thickness: float, lv: float, mass: float, rv: float) -> Phase:
    """Solve radius, wall and right-ventricular reach one after the other; each volume grows with its size."""
    centres = levels.mean(1)
    inside = levels[centres >= phase.base].ravel()
    diastole = phase.systole == 0

    def sized(radius: float, wall: float) -> Phase:
        rest = {"rest_radius": radius, "rest_wall": wall} if diastole else {}
        return replace(phase, radius=radius, wall=wall, **rest)

    def cavity(radius: float) -> float:
        return _lv_volumes(sized(radius, phase.wall), inside, thickness)[0] - lv

    radius = brentq(cavity, 2.0, 80.0, xtol=0.02)

    def muscle(wall: float) -> float:
        return _lv_volumes(sized(radius, wall), inside, thickness)[1] - mass / MYOCARDIAL_DENSITY

    solved = sized(radius, brentq(muscle, 0.5, 60.0, xtol=0.02))
    rv_inside = levels[centres >= phase.base + phase.heart.rv_base].ravel()

    def blood(reach: float) -> float:
        return _rv_volume(replace(solved, rv_reach=reach), rv_inside, thickness) - rv

    return replace(solved, rv_reach=brentq(blood, -10.0, 150.0, xtol=0.1))


def _lv_volumes(phase: Phase, levels: np.ndarray, thickness: float) -> tuple[float, float]:
    """Cavity and muscle volume in ml."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    inner, outer = lv_radii(phase, np.cos(angle), np.sin(angle), levels[:, None])
    cavity, whole = ((np.pi * r**2).mean(1).sum() * thickness / 1000 for r in (inner, outer))
    return cavity, whole - cavity


def _rv_volume(phase: Phase, levels: np.ndarray, thickness: float) -> float:
    """Right-ventricular cavity volume in ml, on a coarse grid with soft edges."""
    step, levels = 4.0, levels[::2]
    a, b = np.meshgrid(np.arange(-24, 140, step), np.arange(-90, 91, step), indexing="ij")
    a, b, z = a[None], b[None], levels[:, None, None]
    inside = np.minimum(*rv_and_septum(phase, a, b, z))
    return float(np.clip(0.5 + inside / step, 0, 1).sum() * step**2 * 2 * thickness / 1000)


def rv_and_septum(phase: Phase, a: np.ndarray, b: np.ndarray, z: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Depth in mm inside the right ventricle's outline, and distance in mm outside the left epicardium."""
    radius = np.maximum(np.hypot(a, b), 1e-3)
    _, outer = lv_radii(phase, a / radius, b / radius, z)
    one = np.float32(1.0)
    _, septal = lv_radii(phase, one, np.float32(0.0), z)
    return -rv_distance(phase, a, b, z, septal), radius - outer
