"""Does a network see the same heart when the slices are stored the other way round? `--check-orientation` asks.

Two DICOM converters store one study with rows and columns exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

ORDER = "rows and columns exchanged"
"""The second storage order, in words."""


def exchanged(image: np.ndarray) -> np.ndarray:
    """An image or mask (..., Y, X) with rows and columns exchanged; twice gives the first again."""
    return np.ascontiguousarray(np.swapaxes(image, -1, -2))


def exchanged_spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """Voxel sizes (z, y, x) of the exchanged image."""
    z, y, x = spacing_mm
    return z, x, y


def agreement(first: np.ndarray, second: np.ndarray, members: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Dice of two masks (Z, Y, X) with each other, for each structure that one of them holds.

    members: structure -> the values that it is made of.
    """
    found = {}
    for name, values in members.items():
        one, other = np.isin(first, values), np.isin(second, values)
        if total := np.count_nonzero(one) + np.count_nonzero(other):
            found[name] = 2.0 * np.count_nonzero(one & other) / total
    return found
