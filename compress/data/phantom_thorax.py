"""The phantom's surroundings: chest wall, lungs, diaphragm, abdomen, spine and great vessels, painted layer by layer.

The scene's frame has its origin in the heart: x grows to the back of the chest, y to the abdomen, in mm; `s` is the
slice's depth, 0 at the base of the heart and 1 at its apex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contrast:
    """Signal of each tissue in one patient's balanced steady-state images; subcutaneous fat is about 1."""

    fat: float
    blood: float
    rv_blood: float
    myocardium: float
    muscle: float
    liver: float
    spleen: float
    lung: float
    marrow: float
    fluid: float


def sample_contrast(rng: np.random.Generator) -> Contrast:
    """Draw tissue signals; myocardium, muscle and liver stay close to each other."""
    myocardium, blood = rng.uniform(0.20, 0.32), rng.uniform(0.58, 0.80)
    return Contrast(
        fat=rng.uniform(0.75, 0.95),
        blood=blood,
        rv_blood=blood * rng.uniform(0.78, 1.04),
        myocardium=myocardium,
        muscle=myocardium * rng.uniform(0.75, 1.0),
        liver=myocardium * rng.uniform(0.8, 1.3),
        spleen=rng.uniform(0.34, 0.50),
        lung=rng.uniform(0.02, 0.06),
        marrow=rng.uniform(0.30, 0.45),
        fluid=rng.uniform(0.7, 0.95),
    )


class Canvas:
    """Signal of a stack of slices (Z, Y, X), and how much of each voxel is fat and how much is watery tissue."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.signal = np.zeros(shape, np.float32)
        self.fat = np.zeros(shape, np.float32)
        self.water = np.zeros(shape, np.float32)

    def paint(self, cover: np.ndarray, signal: np.ndarray | float, *, fat: float = 0.0, water: float = 1.0) -> None:
        """Lay a tissue over the picture where `cover` (0 to 1) says so."""
        for layer, value in ((self.signal, signal), (self.fat, fat), (self.water, water)):
            layer += cover * (value - layer)

    def copy(self) -> Canvas:
        """An independent copy."""
        twin = Canvas(())
        for name in ("signal", "fat", "water"):
            setattr(twin, name, getattr(self, name).copy())
        return twin


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[float, ...]) -> np.ndarray:
    """Random field of unit variance, smooth over `cells` voxels along each axis (cubic B-spline of white noise)."""
    counts = [int(np.ceil(n / cell)) + 3 for n, cell in zip(shape, cells, strict=True)]
    field = rng.standard_normal(counts, dtype=np.float32)
    for axis, (n, cell) in enumerate(zip(shape, cells, strict=True)):
        place = np.arange(n) / cell
        first = place.astype(int)
        t = (place - first).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        weights = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3
        field = sum(field.take(first + k, axis) * w for k, w in enumerate(weights)) * np.float32(1.445 / 6)
    return field


def soft(distance: np.ndarray, width: float) -> np.ndarray:
    """Cover of a shape from the signed distance to its edge (negative inside), blurred over `width` mm."""
    return np.clip(0.5 - distance / width, 0, 1)


def blob(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float, power: float = 2.0) -> np.ndarray:
    """About the distance in mm to a superellipse around the origin, negative inside."""
    form = ((np.abs(x) / half_x) ** power + (np.abs(y) / half_y) ** power) ** (1 / power)
    return np.hypot(x, y) * (1 - 1 / np.maximum(form, 1e-3))


@dataclass(frozen=True)
class Build:
    """One patient's body."""

    half_width: float
    """Front to back, mm."""
    half_height: float
    front: float
    """Distance from the heart's centre to the front of the chest wall's muscle at the base, mm."""
    lean: float
    """Slope of the front of the chest."""
    fat: float
    """Thickness of the fat under the skin, mm."""
    muscle: float
    diaphragm: float
    """How far below the heart's centre the abdomen begins, mm."""
    organs: tuple[tuple[float, float, float, float, int], ...]
    """Abdominal organs: x, y, half width, half height, kind (0 spleen-like, 1 mixed content, 2 bowel)."""


def sample_build(rng: np.random.Generator, fat: float) -> Build:
    """Draw a body whose subcutaneous fat is about `fat` mm."""
    organs = tuple(
        (rng.uniform(0, 110), rng.uniform(75, 190), rng.uniform(18, 42), rng.uniform(14, 34), int(rng.integers(3)))
        for _ in range(5)
    )
    return Build(
        half_width=rng.uniform(108, 130),
        half_height=rng.uniform(185, 240),
        front=rng.uniform(68, 84),
        lean=rng.uniform(0.02, 0.22),
        fat=fat,
        muscle=rng.uniform(10, 17),
        diaphragm=rng.uniform(36, 48),
        organs=organs,
    )


def paint_thorax(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, s: np.ndarray, build: Build, tissue: Contrast, pixel: float
) -> Canvas:
    """Everything but the heart. `x`, `y` (Z, Y, X) in mm, `s` (Z, 1, 1) the depth from base 0 to apex 1."""
    canvas = Canvas(x.shape)
    cell = 38 / pixel
    x = x + 5 * smooth_noise(rng, x.shape, (4, cell, cell))
    y = y + 5 * smooth_noise(rng, x.shape, (4, cell, cell))
    fine = smooth_noise(rng, x.shape, (1, 3.5 / pixel, 3.5 / pixel))
    rough = smooth_noise(rng, x.shape, (2, 12 / pixel, 12 / pixel))
    skin = _chest_wall(canvas, x, y, s, build, tissue, pixel, fine, rough)
    inside = skin + build.fat + build.muscle
    _lungs(canvas, inside, tissue, pixel, fine, rough)
    _abdomen(canvas, x, y, s, build, tissue, pixel, fine, rough, inside)
    _mediastinum(canvas, x, y, s, tissue, pixel, fine, rough, inside)
    return canvas


def _chest_wall(
    canvas: Canvas,
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    build: Build,
    tissue: Contrast,
    pixel: float,
    fine: np.ndarray,
    rough: np.ndarray,
) -> np.ndarray:
    """Fat, muscle layers and ribs; returns the distance to the skin. The wall comes closer towards the apex."""
    shell = build.fat + build.muscle
    half = build.half_width + shell - 22 * s
    left = -(build.front - 30 * s) - shell
    body_x, body_y = x + build.lean * y - (left + half), y - 25
    skin = blob(body_x, body_y, 1.0 * half, build.half_height - 25 * s, 2.7)
    canvas.paint(soft(skin, 1.5 * pixel), tissue.fat * (1 + 0.05 * rough), fat=1.0, water=0.0)
    deep = skin + build.fat * (1 + 0.25 * rough)
    streaks = np.clip(1.6 - 4 * np.abs(rough), 0, 1) * (deep > -0.55 * build.muscle)
    wall = soft(deep, 1.5 * pixel) * (1 - 0.75 * streaks)
    canvas.paint(wall, tissue.muscle * (1 + 0.10 * fine))
    around = np.arctan2(body_y, body_x)
    ribs = np.abs(np.sin(8.5 * around + 2 * s)) - 0.42
    rib = np.maximum(ribs * 14, np.abs(deep + 0.68 * build.muscle) - 4.2)
    canvas.paint(soft(rib, 2 * pixel), 0.05, water=0.3)
    canvas.paint(soft(rib + 2.2, 2 * pixel), tissue.marrow * (1 + 0.15 * fine), fat=0.3, water=0.5)
    return skin


def _lungs(
    canvas: Canvas, inside: np.ndarray, tissue: Contrast, pixel: float, fine: np.ndarray, rough: np.ndarray
) -> None:
    """Dark lungs with bright vessels, which cluster where the coarse texture is high."""
    canvas.paint(soft(inside, 1.5 * pixel), tissue.lung * (1 + 0.4 * rough), water=0.0)
    vessels = np.clip((fine + 0.45 * rough - 2.35) / 0.5, 0, 1) * soft(inside + 12, 10)
    canvas.paint(vessels, 0.75 * tissue.blood, water=0.0)


def _abdomen(
    canvas: Canvas,
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    build: Build,
    tissue: Contrast,
    pixel: float,
    fine: np.ndarray,
    rough: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Below the domed diaphragm: fat, then liver in front and other organs behind it."""
    dome = build.diaphragm - 6 * s + 0.0016 * (x - 15) ** 2
    below = np.maximum(dome - y, inside)
    canvas.paint(soft(below, 2 * pixel), 0.85 * tissue.fat * (1 + 0.12 * rough), fat=0.9, water=0.1)
    canvas.paint(soft(np.abs(below) - 1.2, 2 * pixel) * soft(inside + 3, 3), tissue.muscle)
    kinds = (
        (tissue.spleen, 0.10, 0.03),
        (0.7 * tissue.spleen, 0.35, 0.30),
        (0.9 * tissue.muscle, 0.25, 0.12),
    )
    for centre_x, centre_y, half_x, half_y, kind in build.organs:
        level, grain, patches = kinds[kind]
        organ = np.maximum(blob(x - centre_x + 18 * s, y - centre_y + 12 * s, half_x, half_y, 2.3), below + 2.5)
        wall = soft(organ, 2 * pixel)
        canvas.paint(wall, tissue.muscle)
        canvas.paint(soft(organ + 3, 2 * pixel), level * np.maximum(1 + grain * fine + patches * rough, 0.1))
    liver = blob(x + 48 - 20 * s, y - build.diaphragm - 58 + 8 * s, 75 - 22 * s, 62 - 10 * s, 2.6)
    liver = np.maximum(liver, below + 2.5)
    vessels = np.clip((np.abs(rough + 0.4 * fine) - 1.75) / 0.3, 0, 1)
    canvas.paint(soft(liver, 2 * pixel), tissue.liver * (1 + 0.07 * fine) + 0.25 * vessels)


def _mediastinum(
    canvas: Canvas,
    x: np.ndarray,
    y: np.ndarray,
    s: np.ndarray,
    tissue: Contrast,
    pixel: float,
    fine: np.ndarray,
    rough: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Spine and descending aorta behind the heart, great vessels above it; they leave the plane towards the apex."""
    gone = 90 * np.clip(s - 0.35, 0, 1)
    tissue_bed = np.maximum(blob(x - 62 - gone, y - 42, 62, 34), inside)
    canvas.paint(0.9 * soft(tissue_bed, 8), 0.55 * tissue.fat * (1 + 0.25 * rough), fat=0.6, water=0.4)
    spine = np.maximum(blob(x - 108 - gone, y - 38, 25, 20, 3.0), inside - 8)
    canvas.paint(soft(spine - 2, 2 * pixel), 0.08, water=0.5)
    canvas.paint(soft(spine, 2 * pixel), tissue.marrow * (1 + 0.12 * fine))
    canal = blob(x - 143 - gone, y - 38, 8, 7)
    canvas.paint(soft(canal, 2 * pixel), tissue.fluid)
    aorta = blob(x - 74 - 0.8 * gone, y - 30 - 8 * s, 11.5, 12.5 + 8 * s)
    canvas.paint(soft(aorta - 1.8, 2 * pixel), 0.8 * tissue.muscle)
    canvas.paint(soft(aorta, 2 * pixel), tissue.blood * (1.08 + 0.04 * rough))
    shrink = 60 * np.clip(s - 0.05, 0, 1)
    for centre_x, centre_y, radius in ((-12, -58, 15), (22, -62, 11), (52, -8, 19)):
        vessel = np.hypot(x - centre_x, y - centre_y) - radius + shrink
        canvas.paint(soft(vessel - 2, 2 * pixel), 0.9 * tissue.muscle)
        canvas.paint(soft(vessel, 2 * pixel), tissue.blood * (0.95 + 0.06 * rough))
