"""The phantom's paintbox: layers of tissue, smooth random textures, and shapes with soft edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage as ndi


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
        return self._twin(np.copy)

    def crop(self, box: tuple[slice, ...]) -> Canvas:
        """The part inside `box`, sharing memory: painting on it paints on this canvas."""
        return self._twin(lambda layer: layer[box])

    def _twin(self, change: Callable[[np.ndarray], np.ndarray]) -> Canvas:
        twin = Canvas(())
        twin.signal, twin.fat, twin.water = change(self.signal), change(self.fat), change(self.water)
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
        parts = [field.take(first + k, axis) * weight for k, weight in enumerate(weights)]
        field = (parts[0] + parts[1] + parts[2] + parts[3]) * np.float32(1.445 / 6)
    return field


def grain(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Random texture of unit variance, independent from slice to slice, with grains of about `size` voxels."""
    sigma = 0.6 * size
    white = rng.standard_normal(shape, dtype=np.float32)
    spread = np.float32(2 * np.sqrt(np.pi) * sigma)
    return ndi.gaussian_filter(white, (0, sigma, sigma), truncate=2.5) * spread


def soft(distance: np.ndarray, width: float) -> np.ndarray:
    """Cover of a shape from the signed distance to its edge (negative inside), blurred over `width` mm."""
    return np.clip(0.5 - distance / width, 0, 1)


def blob(
    x: np.ndarray, y: np.ndarray, half_x: np.ndarray | float, half_y: np.ndarray | float, power: float = 2.0
) -> np.ndarray:
    """About the distance in mm to a superellipse around the origin, negative inside."""
    form = ((np.abs(x) / half_x) ** power + (np.abs(y) / half_y) ** power) ** (1 / power)
    return np.hypot(x, y) * (1 - 1 / np.maximum(form, 1e-3))
