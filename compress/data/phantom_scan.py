"""The phantom's slices: where they lie, how much of every voxel the heart fills, and the masks that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from compress.data.phantom_anatomy import Heart
from compress.data.phantom_paint import soft
from compress.data.phantom_shape import SEPTUM, Phase, lv_radii, rv_distance
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
    """The left ventricle's axis relative to the image's centre, (x, y) in mm."""
    breath: np.ndarray
    """(Z, 2) shift of every slice by its own breath-hold, (x, y) in mm."""
    septum: float
    """Direction from the left ventricle to the right one in the scene, radians."""

    @property
    def sublevels(self) -> np.ndarray:
        """(Z, SUBSLICES) depths of the thin slices."""
        offsets = ((np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5) * self.gap
        return self.levels[:, None] + offsets


def sample_scan(rng: np.random.Generator, heart: Heart) -> Scan:
    """Draw a protocol that covers `heart` with 6 to 14 slices of 5 to 10 mm."""
    columns, rows, low, high = MATRICES[rng.choice(len(MATRICES), p=MATRIX_ODDS / MATRIX_ODDS.sum())]
    depth = heart.length + 9
    gaps = [gap for gap in (5.0, 6.5, 7.0, 8.0) if depth / gap <= 12] + [10.0]
    gap = gaps[-1] if rng.random() < 0.65 else gaps[rng.integers(len(gaps))]
    before = rng.choice([0, 1], p=[0.75, 0.25])
    count = int(np.clip(np.ceil(depth / gap) + before + rng.choice([-1, 0, 1], p=[0.2, 0.55, 0.25]), 6, 14))
    levels = (rng.uniform(-0.15, 0.55) - before + np.arange(count)) * gap
    breath = rng.normal(0, 0.9, (count, 2)) + rng.normal(0, 3.0, (count, 2)) * (rng.random((count, 1)) < 0.1)
    landscape = columns > rows
    turn = rng.normal(62, 8) if landscape else rng.normal(0, 7)
    return Scan(
        shape=(count, rows, columns),
        pixel=round(float(rng.uniform(low, high)), 4),
        gap=gap,
        levels=levels,
        turn=float(np.radians(turn)),
        heart_at=(float(np.clip(rng.normal(-4, 11), -28, 28)), float(np.clip(rng.normal(-3, 12), -30, 30))),
        breath=np.clip(breath, -6, 6),
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


_REACH_MM = 115.0
"""How far from the left ventricle's axis the heart may reach."""


def heart_box(scan: Scan) -> tuple[slice, slice, slice]:
    """The part of the image around the left ventricle's axis that holds the heart."""
    _, rows, columns = scan.shape
    spans = []
    for count, offset in ((rows, scan.heart_at[1]), (columns, scan.heart_at[0])):
        centre = (count - 1) / 2 + offset / scan.pixel
        low, high = int(centre - _REACH_MM / scan.pixel), int(centre + _REACH_MM / scan.pixel) + 1
        spans.append(slice(max(low, 0), min(high, count)))
    return slice(None), spans[0], spans[1]


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
    """Distance in mm to the heart's surface, in the deepest thin slice."""
    a: np.ndarray
    b: np.ndarray
    inner: np.ndarray
    """Endocardial radius of the left ventricle in the voxel's direction, mm."""
    classes: np.ndarray
    """(4, Z, Y, X) shares of background, RV, myocardium and LV as a reader sees them: at the base a slice belongs to
    the left ventricle whole or not at all, by its centre."""


def label(cover: Cover, pixel: float) -> np.ndarray:
    """(Z, Y, X) uint8 labels: the class that fills most of each voxel, without the specks that no reader draws."""
    rv, muscle, lv = ACDC_LABELS["RV"], ACDC_LABELS["MYO"], ACDC_LABELS["LV"]
    mask = np.array([0, rv, muscle, lv], np.uint8)[cover.classes.argmax(0)]
    for index in range(len(mask)):
        plane = mask[index]
        _drop_specks(plane, lv, muscle, 30 / pixel**2)
        _drop_specks(plane, muscle, 0, 90 / pixel**2)
        if not (plane == muscle).any():
            plane[plane == lv] = 0
        _drop_specks(plane, rv, 0, 50 / pixel**2)
    return mask


def _drop_specks(plane: np.ndarray, value: int, instead: int, least: float) -> None:
    """Keep only the largest piece of `value` in a slice, and that only from `least` pixels up; works in place."""
    pieces = np.zeros(plane.shape, np.int32)
    ndi.label(plane == value, output=pieces)
    if pieces.any():
        sizes = np.bincount(pieces.ravel())[1:]
        kept = 1 + int(sizes.argmax()) if sizes.max() >= least else 0
        plane[(pieces > 0) & (pieces != kept)] = instead


def heart_cover(phase: Phase, scan: Scan, x: np.ndarray, y: np.ndarray, warp: np.ndarray) -> Cover:
    """Average the heart over each slice's thickness; `warp` (2, Z, Y, X) in mm makes its outlines irregular."""
    sums = [np.zeros(x.shape, np.float32) for _ in range(9)]
    warped_x, warped_y = x + warp[0], y + warp[1]
    a = b = inner = outside = np.zeros(0, np.float32)
    for offset in ((np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5) * scan.gap:
        z = (scan.levels + offset).astype(np.float32)[:, None, None]
        parts, (outside, a, b, inner) = _thin_cover(phase, scan, warped_x, warped_y, z)
        for total, part in zip(sums, parts, strict=True):
            total += part / SUBSLICES
    right_cavity, cavity, whole = sums[6:]
    centre = scan.levels.astype(np.float32)[:, None, None]
    ventricle, right = centre >= phase.base, _below_tricuspid(phase, a, b, centre) >= 0
    rv = right_cavity * right
    muscle, lv = (whole - cavity) * ventricle, cavity * ventricle
    classes = np.stack([1 - rv - muscle - lv, rv, muscle, lv])
    return Cover(*sums[:6], outside=outside, a=a, b=b, inner=inner, classes=classes)


def _below_tricuspid(phase: Phase, a: np.ndarray, b: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Depth in mm below the tricuspid plane, which leans against the slices."""
    tilt_a, tilt_b = phase.heart.base_tilt
    return z - phase.rv_base - tilt_a * (a - 40) - tilt_b * b


def _thin_cover(
    phase: Phase, scan: Scan, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """The covers of one thin slice (`z` in mm, (Z, 1, 1)), and (outside, a, b, inner).

    They are the six of `Cover`, then both cavities and the whole left ventricle as if nothing ended at the base.
    """
    heart, pixel = phase.heart, scan.pixel
    drift_a, drift_b, curve = (np.float32(value) for value in heart.axis)
    centred = z - np.float32(heart.length / 2)
    cosine, sine = np.float32(np.cos(scan.septum)), np.float32(np.sin(scan.septum))
    a = x * cosine + y * sine - drift_a * centred - curve * centred**2
    b = x * sine - y * cosine - drift_b * centred
    radius = np.maximum(np.hypot(a, b), np.float32(1e-3))
    inner, outer = lv_radii(phase, a / radius, b / radius, z)
    _, septal = lv_radii(phase, *SEPTUM, z)
    free = rv_distance(phase, a, b, z, septal)
    below = np.clip(0.5 + (z - phase.base) / 2, 0, 1)
    rv_below = np.clip(0.5 + _below_tricuspid(phase, a, b, z) / 2, 0, 1)
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
        right,
        cavity,
        whole,
    ]
    return covers, (np.minimum(radius - outer, free - heart.rv_wall), a, b, inner)
