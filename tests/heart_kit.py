"""A generated short axis with its mask, lopsided in all three axes, for tests of what lies where."""

from __future__ import annotations

import numpy as np

SPACING = (8.0, 1.5, 1.5)  # mm along (z, y, x)


def make_heart(slices: int = 8, side: int = 128, seed: int = 0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Image (Z, Y, X) int16 and mask uint8 in ACDC's labels, off centre, narrower from slice to slice."""
    y, x = np.meshgrid(*[np.arange(side) * 1.5] * 2, indexing="ij")
    mask = np.zeros((slices, side, side), np.uint8)
    for z, size in enumerate(np.linspace(1.0, 0.4, slices) * scale):
        from_lv, from_rv = np.hypot(y - 100, x - 112), np.hypot(y - 90, x - 112 + 42 * size)
        mask[z][(from_rv < 26 * size) & (from_lv > 34 * size)] = 1
        mask[z][from_lv < 34 * size] = 2
        mask[z][from_lv < 24 * size] = 3
    noise = np.random.default_rng(seed).normal(0, 30, mask.shape)
    return (np.choose(mask, [300, 1500, 400, 1600]) + noise).astype(np.int16), mask
