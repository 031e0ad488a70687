"""The phantom's scanner: the heart painted into its surroundings, coil shading, blur, noise and storage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from compress.data.phantom_paint import Canvas, grain, smooth_noise, soft
from compress.data.phantom_scan import Cover, Scan
from compress.data.phantom_shape import Phase
from compress.data.phantom_thorax import Contrast


def paint_fat(canvas: Canvas, cover: Cover, fatty: np.ndarray, scan: Scan, tissue: Contrast) -> None:
    """Lay the pericardium and its fat over the chest; `fatty` (Z, Y, X) in mm is the thickness of the fat."""
    edge = cover.outside - fatty
    canvas.paint(0.8 * soft(edge - 1.0, 1.5 * scan.pixel), 0.8 * tissue.muscle)
    canvas.paint(soft(edge, 1.5 * scan.pixel), 0.85 * tissue.fat, fat=1.0, water=0.0)


def paint_heart(
    rng: np.random.Generator, canvas: Canvas, cover: Cover, phase: Phase, scan: Scan, tissue: Contrast
) -> None:
    """Lay the heart over the chest and its fat."""
    shape, pixel = cover.lv.shape, scan.pixel
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
    falloff, tilt, rear = rng.uniform(0.0, 0.0032), rng.normal(0, 0.0015), rng.uniform(0, 0.25)
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
