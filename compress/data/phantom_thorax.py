"""The phantom's surroundings: chest wall, lungs, diaphragm, abdomen, spine and great vessels, painted layer by layer.

The scene's frame has its origin in the heart: x grows to the back of the chest, y to the abdomen, in mm; `s` is the
slice's depth, 0 at the base of the heart and 1 at its apex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.data.phantom_paint import Canvas, blob, grain, smooth_noise, soft
from compress.data.phantom_shape import Phase


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
    myocardium, blood = rng.uniform(0.19, 0.32), rng.uniform(0.68, 0.95)
    return Contrast(
        fat=rng.uniform(0.72, 0.98),
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


@dataclass(frozen=True)
class Build:
    """One patient's body."""

    half_width: float
    """Front to back, mm."""
    half_height: float
    front: float
    """Distance from the left ventricle's axis to the chest wall's inner side at the base, mm."""
    front_apex: float
    """The same at the apex."""
    lean: float
    """Slope of the front of the chest."""
    fat: float
    """Thickness of the fat under the skin, mm."""
    muscle: float
    diaphragm: float
    """How far below the heart's centre the abdomen begins, mm."""
    organs: tuple[tuple[float, float, float, float, int], ...]
    """Abdominal organs: x, y, half width, half height, kind (0 spleen-like, 1 mixed content, 2 bowel)."""


def sample_build(rng: np.random.Generator, fat: float, phase: Phase) -> Build:
    """Draw a body with about `fat` mm of fat under the skin, around the heart at end-diastole."""
    size = phase.radius + phase.wall
    organs = tuple(
        (rng.uniform(-10, 120), rng.uniform(70, 190), rng.uniform(20, 46), rng.uniform(15, 36), int(rng.integers(3)))
        for _ in range(8)
    )
    return Build(
        half_width=rng.uniform(108, 130),
        half_height=rng.uniform(195, 265),
        front=size + max(phase.rv_reach, 0) + rng.uniform(9, 24),
        front_apex=rng.uniform(22, 40),
        lean=rng.uniform(0.02, 0.22),
        fat=fat,
        muscle=rng.uniform(11, 21),
        diaphragm=size + rng.uniform(0, 9),
        organs=organs,
    )


@dataclass(frozen=True)
class Scene:
    """What every layer is painted with: coordinates, tissues and textures, arrays (Z, Y, X) unless said otherwise."""

    x: np.ndarray
    y: np.ndarray
    s: np.ndarray
    """(Z, 1, 1) depth, base 0 to apex 1."""
    pixel: float
    build: Build
    tissue: Contrast
    fine: np.ndarray
    """Texture of a few mm; `rough` of a centimetre, `broad` of several."""
    rough: np.ndarray
    broad: np.ndarray

    def edge(self, distance: np.ndarray) -> np.ndarray:
        """Cover of a shape with an edge of two pixels."""
        return soft(distance, 2 * self.pixel)


def paint_thorax(
    rng: np.random.Generator,
    grid: tuple[np.ndarray, np.ndarray, np.ndarray],
    build: Build,
    tissue: Contrast,
    pixel: float,
) -> Canvas:
    """Everything but the heart. grid: x and y (Z, Y, X) in mm, and s (Z, 1, 1), the depth from base 0 to apex 1."""
    x, y, s = grid

    def noise(slices: float, size: float) -> np.ndarray:
        return smooth_noise(rng, x.shape, (slices, size / pixel, size / pixel))

    x, y = x + 7 * noise(4, 42), y + 7 * noise(4, 42)
    scene = Scene(x, y, s, pixel, build, tissue, grain(rng, x.shape, 3.5 / pixel), noise(2, 12), noise(3, 45))
    canvas = Canvas(x.shape)
    inside = _chest_wall(canvas, scene)
    _lungs(canvas, scene, inside)
    _abdomen(canvas, scene, inside)
    _mediastinum(canvas, scene, inside)
    return canvas


def _chest_wall(canvas: Canvas, scene: Scene) -> np.ndarray:
    """Fat, muscle layers and ribs; returns the distance to the inner side. The wall comes closer towards the apex."""
    build, tissue, s, pixel = scene.build, scene.tissue, scene.s, scene.pixel
    half = build.half_width + build.fat + build.muscle - 18 * s
    left = -(build.front + (build.front_apex - build.front) * s) - build.fat - build.muscle
    x, y = scene.x + build.lean * scene.y - (left + half), scene.y - 25
    skin = blob(x, y, half, build.half_height - 25 * s, 2.7)
    canvas.paint(soft(skin, 1.5 * pixel), tissue.fat * (1 + 0.05 * scene.rough), fat=1.0, water=0.0)
    low_front = np.clip(0.5 - x / (2.4 * half) + y / (4 * build.half_height), 0, 1)
    deep = skin + build.fat * np.maximum(0.45 + 0.9 * low_front + 0.28 * scene.broad, 0.15)
    fascia = np.clip(1.3 - 7 * np.abs(scene.rough + 0.35 * scene.fine + 0.2), 0, 1)
    muscle = build.muscle * np.maximum(1 + 0.5 * np.clip(-y / 100, -0.6, 1) + 0.2 * scene.broad, 0.4)
    outer_layer = soft(-(deep + 0.45 * muscle), 4)
    canvas.paint(soft(deep, 1.5 * pixel) * (1 - 0.8 * fascia * outer_layer), tissue.muscle * (1 + 0.10 * scene.fine))
    ribs = 14 * (np.abs(np.sin(8.5 * np.arctan2(y, x) + 2 * s + 0.5 * scene.broad)) - 0.42)
    rib = np.maximum(ribs, np.abs(deep + muscle - 5) - 4.2)
    canvas.paint(scene.edge(rib), 0.05, water=0.3)
    canvas.paint(scene.edge(rib + 2.2), tissue.marrow * (1 + 0.15 * scene.fine), fat=0.3, water=0.5)
    return deep + muscle


def _lungs(canvas: Canvas, scene: Scene, inside: np.ndarray) -> None:
    """Dark lungs with bright vessels, which cluster where the coarse texture is high."""
    canvas.paint(soft(inside, 1.5 * scene.pixel), scene.tissue.lung * (1 + 0.4 * scene.rough), water=0.0)
    vessels = np.clip((scene.fine + 0.6 * scene.rough + 0.3 * scene.broad - 2.4) / 0.5, 0, 1) * soft(inside + 12, 10)
    canvas.paint(vessels, 0.8 * scene.tissue.blood, water=0.0)


def _abdomen(canvas: Canvas, scene: Scene, inside: np.ndarray) -> None:
    """Below the domed diaphragm: fat, then organs behind, the liver in front, and the fat pad beside the heart."""
    build, tissue, x, y, s = scene.build, scene.tissue, scene.x, scene.y, scene.s
    fine, rough = scene.fine, scene.rough
    below = np.maximum(build.diaphragm - 6 * s + 0.0016 * (x - 15) ** 2 - y, inside)
    canvas.paint(scene.edge(below), 0.85 * tissue.fat * (1 + 0.12 * rough), fat=0.9, water=0.1)
    canvas.paint(scene.edge(np.abs(below) - 1.2) * soft(inside + 3, 3), tissue.muscle)
    kinds = (tissue.spleen, 0.10, 0.03), (0.7 * tissue.spleen, 0.45, 0.45), (0.8 * tissue.muscle, 0.35, 0.15)
    for centre_x, centre_y, half_x, half_y, kind in build.organs:
        level, grain, patches = kinds[kind]
        organ = np.maximum(blob(x - centre_x + 18 * s, y - centre_y + 12 * s, half_x, half_y, 2.3), below + 2.5)
        canvas.paint(scene.edge(organ), tissue.muscle)
        canvas.paint(scene.edge(organ + 3), level * np.maximum(1 + grain * fine + patches * rough, 0.1))
    liver = blob(x + 48 - 20 * s, y - build.diaphragm - 58 + 8 * s, 75 - 22 * s, 62 - 10 * s, 2.6)
    vessels = np.clip((fine - 0.25 * np.abs(rough) - 1.5) / 0.6, 0, 1)
    texture = tissue.liver * (1 + 0.07 * fine + 0.06 * rough) + 0.16 * vessels
    canvas.paint(scene.edge(np.maximum(liver, below + 2.5)), texture)
    pad = blob(x + 0.75 * build.front - 25 * s, y - 0.8 * build.diaphragm, 26 + 8 * s, 20 + 10 * s) + 6 * scene.broad
    bright = 0.85 * tissue.fat * (1 + 0.1 * rough)
    canvas.paint(soft(np.maximum(pad, inside), 4), bright, fat=0.95, water=0.05)


def _mediastinum(canvas: Canvas, scene: Scene, inside: np.ndarray) -> None:
    """Spine and descending aorta behind the heart, great vessels above it; they leave the plane towards the apex."""
    tissue, x, y, s = scene.tissue, scene.x, scene.y, scene.s
    fine, rough = scene.fine, scene.rough
    gone, shrink = 90 * np.clip(s - 0.35, 0, 1), 60 * np.clip(s - 0.05, 0, 1)
    behind, above = blob(x - 62 - gone, y - 42, 62, 34), blob(x - 12, y + 44, 58, 30) + shrink
    bed = 0.55 * tissue.fat * (1 + 0.35 * rough + 0.15 * fine)
    canvas.paint(0.9 * soft(np.maximum(np.minimum(behind, above), inside), 8), bed, fat=0.6, water=0.4)
    spine = np.maximum(blob(x - 108 - gone, y - 38, 25, 20, 3.0), inside - 8)
    canvas.paint(scene.edge(spine - 2), 0.08, water=0.5)
    canvas.paint(scene.edge(spine), tissue.marrow * (1 + 0.12 * fine))
    canvas.paint(scene.edge(blob(x - 143 - gone, y - 38, 8, 7)), tissue.fluid)
    aorta = blob(x - 74 - 0.8 * gone, y - 30 - 8 * s, 11.5, 12.5 + 8 * s)
    vessels = [np.hypot(x - u, y - v) - r + shrink for u, v, r in ((-12, -58, 15), (22, -62, 11), (52, -8, 19))]
    for vessel in (aorta, *vessels):
        canvas.paint(scene.edge(vessel - 1.8), 0.85 * tissue.muscle)
        canvas.paint(scene.edge(vessel), tissue.blood * (1 + 0.06 * rough))
