"""A made-up slice for the tests of choosing and drawing slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compress.data.volume import Case
from compress.report.slices import SlicePicture


def slice_with(
    patient: str = "p1", *, lost: int = 0, networks: int = 1, size: int = 64, position: str = "", pixel=(1.0, 1.0)
) -> SlicePicture:
    """A slice whose last network misses the first `lost` of ten foreground rows, ten pixels wide."""
    reference = np.zeros((size, size), np.uint8)
    reference[20:30, 20:26], reference[20:30, 26:30] = 3, 2
    last = reference.copy()
    last[20 : 20 + lost] = 0
    image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    masks = (*[reference] * (networks - 1), last)
    return SlicePicture(image, reference, masks, Case(patient, "ED", Path(), None), position, pixel)
