"""Where the network's window lies: on the slice's centre, and where it cuts a heart, on what was found of it.

All that is looked at is the largest piece of what was found: islands that small networks leave must not move a window.
"""

from __future__ import annotations

import numpy as np

from compress.data.pieces import label_pieces
from compress.data.preprocess import Geometry, Shift


def cut_slices(found: np.ndarray, geometry: Geometry) -> tuple[int, ...]:
    """Slices in which the heart reaches an edge of the window behind which the slice goes on.

    found: label values (Z, H, W) on the network's grid; slices are counted from 0.
    """
    edges = _edges(geometry)
    if not any((found[edge] != 0).any() for edge in edges):
        return ()
    heart = _largest_piece(found)
    reaches = np.zeros(len(found), bool)
    for edge in edges:
        reaches |= heart[edge].any(axis=1)
    return tuple(np.flatnonzero(reaches).tolist())


def onto(found: np.ndarray, geometry: Geometry) -> Shift:
    """How the window has to be moved from the slice's centre so that the heart lies in its middle, or near to that.

    It never leaves the slices. found: label values (Z, H, W), with one voxel that is not 0 at least.
    """
    heart = _largest_piece(found)
    moved = []
    for axis, (have, want, now) in enumerate(zip(geometry.resampled, geometry.window, geometry.moved, strict=True)):
        places = np.flatnonzero(heart.any(axis=(0, 2 - axis)))
        off = round((int(places[0]) + int(places[-1]) + 1 - want) / 2)
        free = max(have - want, 0)
        moved.append(min(max(now + off, -(free // 2)), free - free // 2))
    return moved[0], moved[1]


def _edges(geometry: Geometry) -> list[tuple[slice | int, ...]]:
    """The window's first and last row and column, those alone behind which the slice goes on."""
    edges: list[tuple[slice | int, ...]] = []
    for axis, (part, size) in enumerate(zip(geometry.slices()[0], geometry.resampled, strict=True)):
        before = (slice(None),) * (axis + 1)
        edges += [(*before, 0)] if part.start > 0 else []
        edges += [(*before, -1)] if part.stop < size else []
    return edges


def _largest_piece(found: np.ndarray) -> np.ndarray:
    """(Z, H, W) bool: the largest piece of all structures together."""
    labels = label_pieces(found != 0)
    return labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
