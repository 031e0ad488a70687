"""The phantom's scanner: geometry of the slices, the heart within its surroundings, shading, noise and storage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from compress.data.phantom_anatomy import Heart, Phase, lv_radii, rv_distance
from compress.data.phantom_thorax import Canvas, Contrast, smooth_noise, soft
from compress.data.volume import ACDC_LABELS

SUBSLICES = 4
"""Thin slices that are averaged into one, for the partial volume through the slice's thickness."""

MATRICES = (
    (216, 256, 1.37, 1.57),
    (208, 256, 1.45, 1.57),
    (256, 216, 1.37, 1.57),
    (232, 256, 1.40, 1.70),
    (154, 224, 1.70, 1.92),
    (224, 154, 1.70, 1.92),
    (174, 208, 1.68, 1.92),
    (256, 256, 1.37, 1.57),
    (222, 224, 1.72, 1.95),
    (184, 288, 1.20, 1.40),
    (288, 320, 1.05, 1.25),
    (340, 384, 0.90, 1.00),
)
"""Columns, rows and the range of in-plane spacings in mm, as found in clinical series."""

MATRIX_ODDS = np.array([5, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 0.5])


@dataclass(frozen=True)
class Scan:
    """Where the slices lie."""

    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    pixel: float
    gap: float
    """Distance between slices = thickness of a slice, mm."""
    levels: np.ndarray
    """(Z,) depth of every slice's centre, 0 at the end-diastolic mitral plane, mm."""
    turn: float
    """Rotation of the whole scene, radians."""
    heart_at: tuple[float, float]
    """The heart's centre relative to the image's, (x, y) in mm."""
    breath: np.ndarray
    """(Z, 2) shift of every slice by its own breath-hold, (x, y) in mm."""
    septum: float
    """Direction from the left ventricle to the right one in the scene, radians."""

    @property
    def sublevels(self) -> np.ndarray:
        """(SUBSLICES * Z,) depths of the thin slices."""
        offsets = ((np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5) * self.gap
        return (self.levels[:, None] + offsets).ravel()


def sample_scan(rng: np.random.Generator, heart: Heart) -> Scan:
    """Draw a protocol that covers `heart` with 6 to 14 slices of 5 to 10 mm."""
    columns, rows, low, high = MATRICES[rng.choice(len(MATRICES), p=MATRIX_ODDS / MATRIX_ODDS.sum())]
    depth = heart.length + 9
    gaps = [gap for gap in (5.0, 6.5, 7.0, 8.0, 10.0) if 5 <= depth / gap <= 12]
    gap = gaps[-1] if rng.random() < 0.65 else gaps[rng.integers(len(gaps))]
    before = rng.choice([0, 1], p=[0.75, 0.25])
    count = int(np.clip(np.ceil(depth / gap) + before + rng.choice([-1, 0, 1], p=[0.2, 0.55, 0.25]), 6, 14))
    levels = (rng.uniform(-0.15, 0.55) - before + np.arange(count)) * gap
    breath = np.clip(rng.normal(0, 0.9, (count, 2)) + rng.normal(0, 3.0, (count, 2)) * (rng.random((count, 1)) < 0.1), -6, 6)
    landscape = columns > rows
    turn = rng.normal(62, 8) if landscape else rng.normal(0, 7)
    return Scan(
        shape=(count, rows, columns),
        pixel=round(float(rng.uniform(low, high)), 4),
        gap=gap,
        levels=levels,
        turn=float(np.radians(turn)),
        heart_at=(rng.normal(-8, 9), rng.normal(-4, 9)),
        breath=breath,
        septum=float(np.radians(rng.normal(160, 11))),
    )


def scene_grid(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """The scene's coordinates x and y in mm of every voxel, each (Z, Y, X) float32."""
    _, rows, columns = scan.shape
    across = (np.arange(columns) - (columns - 1) / 2) * scan.pixel - scan.heart_at[0]
    down = (np.arange(rows) - (rows - 1) / 2) * scan.pixel - scan.heart_at[1]
    u = across[None, None, :] - scan.breath[:, 0, None, None]
    v = down[None, :, None] - scan.breath[:, 1, None, None]
    cosine, sine = np.cos(scan.turn), np.sin(scan.turn)
    return (u * cosine + v * sine).astype(np.float32), (v * cosine - u * sine).astype(np.float32)


@dataclass(frozen=True)
class Cover:
    """How much of every voxel belongs to each part of the heart, (Z, Y, X) float32, and where things lie in it."""

    lv: np.ndarray
    myocardium: np.ndarray
    rv: np.ndarray
    rv_wall: np.ndarray
    atrium: np.ndarray
    atrial_wall: np.ndarray
    outside: np.ndarray
    """Distance in mm to the heart's surface."""
    a: np.ndarray
    b: np.ndarray
    inner: np.ndarray
    """Endocardial radius of the left ventricle in the voxel's direction, mm."""

    def mask(self) -> np.ndarray:
        """(Z, Y, X) uint8 labels: the class that fills most of each voxel."""
        rest = 1 - self.lv - self.myocardium - self.rv
        order = np.stack([rest, self.rv, self.myocardium, self.lv]).argmax(0)
        labels = np.array([0, ACDC_LABELS["RV"], ACDC_LABELS["MYO"], ACDC_LABELS["LV"]], np.uint8)
        return labels[order]


def heart_cover(phase: Phase, scan: Scan, x: np.ndarray, y: np.ndarray, warp: np.ndarray) -> Cover:
    """Average the heart over each slice's thickness; `warp` (2, Z, Y, X) in mm makes its outlines irregular."""
    heart, sums = phase.heart, [np.zeros(x.shape, np.float32) for _ in range(6)]
    middle = None
    for offset in ((np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5) * scan.gap:
        z = (scan.levels + offset).astype(np.float32)[:, None, None]
        parts, middle = _thin_cover(phase, heart, scan, x + warp[0], y + warp[1], z)
        for total, part in zip(sums, parts, strict=True):
            total += part / SUBSLICES
    assert middle is not None
    return Cover(*sums, *middle)


def _thin_cover(
    phase: Phase, heart: Heart, scan: Scan, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """The six covers of one thin slice (`z` in mm, (Z, 1, 1)), and (outside, a, b, inner)."""
    pixel, (drift_a, drift_b, curve) = scan.pixel, heart.axis
    centred = z - heart.length / 2
    cosine, sine = np.float32(np.cos(scan.septum)), np.float32(np.sin(scan.septum))
    shift = 0.35 * phase.heart.lv_edv ** (1 / 3) * 5
    x, y = x - np.float32(shift), y
    a = x * cosine + y * sine - drift_a * centred - curve * centred**2
    b = x * sine - y * cosine - drift_b * centred
    radius = np.maximum(np.hypot(a, b), np.float32(1e-3))
    inner, outer = lv_radii(phase, a / radius, b / radius, z)
    _, septal = lv_radii(phase, np.float32(1), np.float32(0), z)
    free = rv_distance(phase, a, b, z, septal)
    plane = z - phase.base - heart.base_tilt[0] * a - heart.base_tilt[1] * b
    below, rv_below = np.clip(0.5 + plane / 2, 0, 1), np.clip(0.5 + (plane - heart.rv_base) / 2, 0, 1)
    cavity, whole = soft(radius - inner, pixel), soft(radius - outer, pixel)
    right = soft(np.maximum(free, outer - radius), pixel)
    right_whole = soft(np.maximum(free - heart.rv_wall, outer - radius), pixel)
    thin = soft(radius - np.minimum(inner + 2.5, outer), pixel)
    covers = [
        cavity * below,
        (whole - cavity) * below,
        right * rv_below,
        (right_whole - right),
        cavity * (1 - below) + right * (1 - rv_below),
        (thin - cavity) * (1 - below),
    ]
    return covers, (np.minimum(radius - outer, free - heart.rv_wall), a, b, inner)
