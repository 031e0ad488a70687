"""The phantom's heart as formulas: both ventricles at one moment, solved for the patient's volumes and mass.

Millimetres and millilitres. The heart's own frame has its origin on the long axis of the left ventricle: `a` points to
the right ventricle, `b` to the diaphragm, `z` from the mitral plane at end-diastole to the apex.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from compress.data.phantom_anatomy import Heart
from compress.data.volume import MYOCARDIAL_DENSITY

SEPTUM = np.ones(1, np.float32), np.zeros(1, np.float32)
"""The direction towards the right ventricle, as (cosine, sine)."""


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
    rv_base: float
    """z of the tricuspid plane, which moves with the right ventricle's own ejection."""
    rv_reach: float
    """How far the right ventricle stands out beyond the septum at the base."""
    rest_radius: float
    """End-diastolic radius and wall, which an infarct keeps at end-systole."""
    rest_wall: float
    systole: float
    """0 at end-diastole, 1 at end-systole."""


def _taper(depth: np.ndarray) -> np.ndarray:
    """Radius along the long axis, 1 at the base (depth 0) and above, 0 at the apex (depth 1) and below."""
    return np.sqrt(np.clip(1 - np.clip(depth, 0, 1) ** 2.3, 0, 1))


def lv_radii(phase: Phase, cosine: np.ndarray, sine: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Endocardial and epicardial radius in mm along the directions (cosine, sine) at depth `z`."""
    heart, depth = phase.heart, np.asarray(z, np.float32) - phase.base
    amplitude2, angle2, amplitude3, angle3 = heart.oval
    cosine2, sine2 = 2 * cosine**2 - 1, 2 * sine * cosine
    cosine3, sine3 = cosine2 * cosine - sine2 * sine, sine2 * cosine + cosine2 * sine
    septum = np.exp(2.5 * (cosine - 1))
    outline = (
        1 + amplitude2 * (cosine2 * math.cos(angle2) + sine2 * math.sin(angle2)) - heart.septal_flattening * septum
    )
    outline = outline + amplitude3 * (cosine3 * math.cos(angle3) + sine3 * math.sin(angle3))
    scar = 0.0
    if heart.infarct:
        towards = cosine * math.cos(heart.infarct_angle) + sine * math.sin(heart.infarct_angle)
        level = np.exp(-((depth / phase.length - heart.infarct_level) ** 2) / 0.12)
        scar = np.exp(2.2 * (towards - 1)) * level
    inner = (phase.radius + 0.85 * scar * (phase.rest_radius - phase.radius)) * outline
    healthy = phase.wall * (1 + heart.septal_thickening * septum)
    thinned = phase.rest_wall * (1 - heart.infarct_thinning)
    wall = np.maximum(healthy * (1 - scar) + thinned * scar, 4.0)
    outer = (inner + wall) * _taper(depth / (phase.length + 0.8 * phase.wall))
    return inner * _taper(depth / phase.length), outer


def rv_distance(phase: Phase, a: np.ndarray, b: np.ndarray, z: np.ndarray, epicardium: np.ndarray) -> np.ndarray:
    """About the distance in mm to the right ventricle's outline (negative inside), before the septum is cut out.

    `epicardium` is the left ventricle's epicardial radius in mm at depth `z`, towards the septum.
    """
    heart = phase.heart
    end = heart.rv_base + heart.rv_end * heart.length
    level = np.clip((np.asarray(z, np.float32) - phase.rv_base) / (end - phase.rv_base), 0, 1)
    reach = phase.rv_reach * (1 - level**1.5) ** 0.9
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
    start = Phase(heart, 25.0, 9.0, heart.length, 0.0, heart.rv_base, 20.0, 25.0, 9.0, 0.0)
    diastole = _solve(start, levels, thickness, heart.lv_edv, heart.mass, heart.rv_edv)
    systole = replace(
        diastole,
        length=heart.length - heart.descent,
        base=heart.descent,
        rv_base=heart.rv_base + heart.rv_descent,
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

    radius = _root(cavity, 2.0, 80.0)

    def muscle(wall: float) -> float:
        return _lv_volumes(sized(radius, wall), inside, thickness)[1] - mass / MYOCARDIAL_DENSITY

    solved = sized(radius, _root(muscle, 0.5, 60.0))
    rv_inside = levels[centres >= phase.rv_base].ravel()

    def blood(reach: float) -> float:
        return _rv_volume(replace(solved, rv_reach=reach), rv_inside, thickness) - rv

    return replace(solved, rv_reach=_root(blood, -10.0, 150.0))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a growing function crosses zero, to 0.02 mm."""
    return float(np.asarray(brentq(function, low, high, xtol=0.02)))


def _lv_volumes(phase: Phase, levels: np.ndarray, thickness: float) -> tuple[float, float]:
    """Cavity and muscle volume in ml."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    inner, outer = lv_radii(phase, np.cos(angle), np.sin(angle), levels[:, None])
    cavity, whole = ((np.pi * r**2).mean(1).sum() * thickness / 1000 for r in (inner, outer))
    return cavity, whole - cavity


def _rv_volume(phase: Phase, levels: np.ndarray, thickness: float) -> float:
    """Right-ventricular cavity volume in ml, on a coarse grid with soft edges."""
    step, levels = 4.0, levels[::2]
    a, b = np.meshgrid(np.arange(-24, 140, step), np.arange(-100, 101, step), indexing="ij")
    a, b, z = a[None], b[None], levels[:, None, None]
    radius = np.maximum(np.hypot(a, b), 1e-3)
    _, outer = lv_radii(phase, a / radius, b / radius, z)
    _, septal = lv_radii(phase, *SEPTUM, z)
    inside = np.minimum(-rv_distance(phase, a, b, z, septal), radius - outer)
    return float(np.clip(0.5 + inside / step, 0, 1).sum() * step**2 * 2 * thickness / 1000)
