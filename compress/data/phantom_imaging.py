"""The phantom's scanner: geometry of the slices, the heart within its surroundings, shading, noise and storage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from compress.data.phantom_anatomy import Heart, Phase, lv_radii, rv_distance
from compress.data.phantom_thorax import Canvas, Contrast, grain, smooth_noise, soft
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


def heart_box(scan: Scan, reach: float = 115.0) -> tuple[slice, slice, slice]:
    """The part of the image within `reach` mm of the left ventricle's axis."""
    _, rows, columns = scan.shape
    spans = []
    for count, offset in ((rows, scan.heart_at[1]), (columns, scan.heart_at[0])):
        centre = (count - 1) / 2 + offset / scan.pixel
        low, high = int(centre - reach / scan.pixel), int(centre + reach / scan.pixel) + 1
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


def label(cover: Cover, pixel: float) -> np.ndarray:
    """(Z, Y, X) uint8 labels: the class that fills most of each voxel, without the specks that no reader draws."""
    rest = 1 - cover.lv - cover.myocardium - cover.rv
    order = np.stack([rest, cover.rv, cover.myocardium, cover.lv]).argmax(0)
    rv, muscle, lv = ACDC_LABELS["RV"], ACDC_LABELS["MYO"], ACDC_LABELS["LV"]
    mask = np.array([0, rv, muscle, lv], np.uint8)[order]
    for plane in mask:
        _drop_specks(plane, lv, muscle, 30 / pixel**2)
        _drop_specks(plane, muscle, 0, 90 / pixel**2)
        if not (plane == muscle).any():
            plane[plane == lv] = 0
        _drop_specks(plane, rv, 0, 50 / pixel**2)
    return mask


def _drop_specks(plane: np.ndarray, value: int, instead: int, least: float) -> None:
    """Keep only the largest piece of `value` in a slice, and that only from `least` pixels up; works in place."""
    pieces, count = ndi.label(plane == value)
    if count:
        sizes = np.bincount(pieces.ravel())[1:]
        kept = 1 + int(sizes.argmax()) if sizes.max() >= least else 0
        plane[(pieces > 0) & (pieces != kept)] = instead


def heart_cover(phase: Phase, scan: Scan, x: np.ndarray, y: np.ndarray, warp: np.ndarray) -> Cover:
    """Average the heart over each slice's thickness; `warp` (2, Z, Y, X) in mm makes its outlines irregular."""
    sums = [np.zeros(x.shape, np.float32) for _ in range(6)]
    warped_x, warped_y = x + warp[0], y + warp[1]
    middle: tuple[np.ndarray, ...] = ()
    for offset in ((np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5) * scan.gap:
        z = (scan.levels + offset).astype(np.float32)[:, None, None]
        parts, middle = _thin_cover(phase, scan, warped_x, warped_y, z)
        for total, part in zip(sums, parts, strict=True):
            total += part / SUBSLICES
    return Cover(*sums, *middle)


def _thin_cover(
    phase: Phase, scan: Scan, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """The six covers of one thin slice (`z` in mm, (Z, 1, 1)), and (outside, a, b, inner)."""
    heart, pixel = phase.heart, scan.pixel
    drift_a, drift_b, curve = (np.float32(value) for value in heart.axis)
    centred = z - np.float32(heart.length / 2)
    cosine, sine = np.float32(np.cos(scan.septum)), np.float32(np.sin(scan.septum))
    a = x * cosine + y * sine - drift_a * centred - curve * centred**2
    b = x * sine - y * cosine - drift_b * centred
    radius = np.maximum(np.hypot(a, b), np.float32(1e-3))
    inner, outer = lv_radii(phase, a / radius, b / radius, z)
    _, septal = lv_radii(phase, np.float32(1), np.float32(0), z)
    free = rv_distance(phase, a, b, z, septal)
    plane = z - phase.base
    tricuspid = plane - heart.rv_base - heart.base_tilt[0] * (a - 40) - heart.base_tilt[1] * b
    below, rv_below = np.clip(0.5 + plane / 2, 0, 1), np.clip(0.5 + tricuspid / 2, 0, 1)
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


def paint_heart(
    rng: np.random.Generator,
    canvas: Canvas,
    cover: Cover,
    phase: Phase,
    scan: Scan,
    tissue: Contrast,
    fatty: np.ndarray,
) -> None:
    """Lay the heart and its fat over the chest; `fatty` (Z, Y, X) in mm is the thickness of the pericardial fat."""
    shape, pixel = cover.lv.shape, scan.pixel
    edge = cover.outside - fatty
    canvas.paint(0.8 * soft(edge - 1.0, 1.5 * pixel), 0.8 * tissue.muscle)
    canvas.paint(soft(edge, 1.5 * pixel), 0.85 * tissue.fat, fat=1.0, water=0.0)
    fine = grain(rng, shape, 2.8 / pixel)
    flow = smooth_noise(rng, shape, (1, 26 / pixel, 26 / pixel))
    gain = 1 + 0.04 * rng.standard_normal((shape[0], 1, 1)).astype(np.float32)
    left = tissue.blood * gain * (1 + 0.045 * flow) * (1 - _lv_muscles(cover, phase, scan, tissue, fine))
    right = tissue.rv_blood * gain * (1 + 0.07 * flow) * _rv_bars(cover, phase, scan, fine)
    muscle = tissue.myocardium * (1 + 0.05 * fine + 0.04 * flow)
    layers = (
        (cover.lv, left),
        (cover.myocardium, muscle),
        (cover.rv, right),
        (cover.rv_wall + cover.atrial_wall, 0.95 * tissue.myocardium),
        (cover.atrium, right),
    )
    covered = np.clip(sum(part for part, _ in layers), 0, 1)
    canvas.signal *= 1 - covered
    canvas.fat *= 1 - covered
    canvas.water += covered * (1 - canvas.water)
    for part, signal in layers:
        canvas.signal += part * signal


def _lv_muscles(cover: Cover, phase: Phase, scan: Scan, tissue: Contrast, fine: np.ndarray) -> np.ndarray:
    """Loss of signal, 0 to 1, from papillary muscles and trabeculae inside the left ventricle's cavity."""
    full, heart = 1 - tissue.myocardium / tissue.blood, phase.heart
    depth = ((scan.levels - phase.base) / phase.length)[:, None, None]
    present = np.clip(np.minimum(depth - 0.22, 0.88 - depth) / 0.1, 0, 1)
    place, size = 0.66 + 0.14 * phase.systole, 0.18 + 0.05 * phase.systole
    papillary = np.zeros(cover.lv.shape, np.float32)
    coarse = np.roll(fine, 3, axis=-1)
    for angle, bulk in ((np.pi - 0.85 + heart.oval[0] * 6, 1.1), (np.pi + 0.95 - heart.oval[2] * 8, 0.9)):
        reach = cover.inner * (place + 0.04 * coarse)
        away = np.hypot(cover.a - reach * np.cos(angle), cover.b - reach * np.sin(angle))
        grown = bulk * size * cover.inner * (0.9 + 0.4 * fine)
        papillary = np.maximum(papillary, soft(away - grown, 2 * scan.pixel))
    relative = np.hypot(cover.a, cover.b) / np.maximum(cover.inner, 1)
    rim = np.clip((relative - (0.80 - 0.10 * phase.systole)) / 0.12, 0, 1)
    trabeculae = rim * np.clip((fine + 0.9 * np.clip(depth, 0, 1) - 0.25) / 0.7, 0, 1)
    return full * np.maximum(0.92 * papillary * present, 0.8 * trabeculae)


def _rv_bars(cover: Cover, phase: Phase, scan: Scan, fine: np.ndarray) -> np.ndarray:
    """Factor on the right ventricle's signal: trabeculae, denser at the free wall and towards the apex."""
    depth = np.clip((scan.levels - phase.base) / phase.length, 0, 1)[:, None, None]
    near_wall = np.clip(1 + (cover.outside + 2) / 9, 0, 1)
    return 1 - 0.5 * np.clip(fine + 0.9 * depth + 0.7 * near_wall - 1.75, 0, 1)


@dataclass(frozen=True)
class Coil:
    """One patient's receiver: shading, blur, noise and the number that stands for full signal."""

    shading: np.ndarray
    """(Z, Y, X) factor."""
    blur: float
    """Point spread, in voxels."""
    noise: float
    scale: float
    dtype: str


def sample_coil(rng: np.random.Generator, scan: Scan, x: np.ndarray, y: np.ndarray) -> Coil:
    """Draw shading (brighter at the front, where the coil lies), blur, noise level and storage."""
    falloff, tilt, rear = rng.uniform(0.0, 0.0045), rng.normal(0, 0.0015), rng.uniform(0, 0.25)
    waves = smooth_noise(rng, scan.shape, (scan.shape[0], 110 / scan.pixel, 110 / scan.pixel))
    shading = np.exp(np.clip(rear * ((x - 25) / 100) ** 2 - falloff * x + tilt * y + 0.10 * waves, -0.9, 0.9))
    dtype = str(rng.choice(["int16", "float32", "uint8"], p=[0.45, 0.43, 0.12]))
    scale = float(rng.choice([450, 650, 1200, 2400, 3600]) * rng.uniform(0.9, 1.1)) if dtype == "int16" else 255.0
    return Coil(shading.astype(np.float32), rng.uniform(0.35, 0.62), rng.uniform(0.014, 0.042), scale, dtype)


def acquire(rng: np.random.Generator, canvas: Canvas, coil: Coil) -> np.ndarray:
    """Turn tissue into an image: dark lines between fat and water, blur, shading, Rician noise, whole numbers."""
    ink = 1 - 2.6 * canvas.fat * canvas.water
    clean = ndi.gaussian_filter(canvas.signal * ink, (0, coil.blur, coil.blur)) * coil.shading
    real, imaginary = rng.standard_normal((2, *clean.shape), dtype=np.float32) * np.float32(coil.noise * 1.25)
    smooth = (0, 0.45, 0.45)
    image = np.hypot(clean + ndi.gaussian_filter(real, smooth), ndi.gaussian_filter(imaginary, smooth))
    top = np.percentile(image[:, ::2, ::2], 99.8)
    limit = 255.0 if coil.dtype != "int16" else 4095.0
    return np.clip(np.rint(image * (coil.scale / top)), 0, limit).astype(coil.dtype)
