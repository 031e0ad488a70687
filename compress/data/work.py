"""What an image asks of the machine once it is brought to a network's spacing, told before it is taken."""

from __future__ import annotations

import numpy as np

from compress.data.rules import Rules
from compress.errors import DataError

MAX_SCORES = 2**26
"""Scores of one resampled slice, 256 MiB: a voxel size of a metre in a header asks for more."""

MAX_GREY = 1e12
"""Squares of larger values overflow float32 when they are summed."""


def check_pixels(
    image: np.ndarray, spacing_mm: tuple[float, float, float], *, name: str, rules: Rules, scores: int = 1
) -> None:
    """Raise `DataError` for an image (Z, Y, X) that would fill the memory on the network's grid.

    spacing_mm: along (z, y, x). scores: numbers that are kept for each pixel there.
    """
    rows, columns = rules.resampled(image.shape[-3:], spacing_mm)
    if rows * columns * scores > MAX_SCORES:
        pixel = rules.spacing_mm
        raise DataError(
            f"{name}: its slices would need {columns:.6g} x {rows:.6g} pixels of {pixel[1]:g} x {pixel[0]:g} mm.",
            cure="Correct the voxel size in its header.",
        )


def check_grey(image: np.ndarray, name: str) -> None:
    """Raise `DataError` for values whose squares overflow."""
    largest = max(abs(float(image.min())), abs(float(image.max())))
    if largest > MAX_GREY:
        raise DataError(
            f"{name} holds values up to {largest:.3g}; expected grey levels up to {MAX_GREY:g}.",
            cure="Export the image again.",
        )
