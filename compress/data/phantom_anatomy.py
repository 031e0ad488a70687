"""The phantom's patients: disease groups and the anatomy that is drawn for each. Millimetres, millilitres, grams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    rv_descent: float
    """How far the tricuspid plane moves towards the apex at end-systole."""
    rv_end: float
    """Where the right ventricle ends, as a fraction of the left ventricle's length."""
    rv_height: float
    """Half-height of the right ventricle relative to the left ventricle's epicardial radius."""
    rv_power: float
    rv_triangle: float
    rv_skew: float
    rv_wall: float
    """Thickness of the right ventricle's free wall."""


def sample_heart(rng: np.random.Generator, group: str) -> Heart:
    """Draw a patient of `group`; volumes and mass share one body-size factor, so that they correlate."""
    ranges, size = RANGES[group], rng.uniform(0.1, 0.9)

    def sized(low: float, high: float, share: float = 0.6) -> float:
        return low + (high - low) * (share * size + (1 - share) * rng.uniform(0.06, 0.94))

    def plain(low: float, high: float) -> float:
        return rng.uniform(low + 0.06 * (high - low), high - 0.06 * (high - low))

    lv_edv, ef, rv_ef = sized(*ranges.lv_edv), plain(*ranges.lv_ef), plain(*ranges.rv_ef)
    infarct = 1.0 if group == "MINF" else 0.0
    return Heart(
        group=group,
        lv_edv=lv_edv,
        lv_ef=ef,
        mass=sized(*ranges.mass),
        rv_edv=sized(*ranges.rv_edv),
        rv_ef=rv_ef,
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
        rv_base=float(np.clip(rng.normal(0, 3.5), -8, 8)),
        rv_descent=rng.uniform(11, 16) * rv_ef / 0.55,
        rv_end=rng.uniform(0.88, 1.02) if group == "RV" else rng.uniform(0.78, 0.95),
        rv_height=rng.uniform(1.35, 1.65) if group == "RV" else rng.uniform(1.12, 1.38),
        rv_power=rng.uniform(2.0, 2.7),
        rv_triangle=rng.uniform(-0.05, 0.22),
        rv_skew=rng.uniform(-0.35, 0.05),
        rv_wall=rng.uniform(3.0, 5.5) if group == "RV" else rng.uniform(2.2, 3.4),
    )
