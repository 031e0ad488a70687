"""The separate pieces of a structure, and dropping those that are small beside the largest one.

Small 2D networks leave islands where no heart is. Keeping the largest piece alone lost an LV that lay in two pieces;
a share of the largest keeps such pieces. numpy alone: importing scipy takes longer than segmenting a volume.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CONNECTIVITY = 26
"""Voxels that meet at a corner belong together: slices shift between breath-holds."""
_ROWS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Steps (z, y) to half of the rows around one; the other half meets it from its own side."""


def drop_small(mask: np.ndarray, shares: Mapping[int, float]) -> np.ndarray:
    """A mask (Z, Y, X) in which each piece smaller than a share of its structure's largest is background.

    shares: label value -> share above 0 and up to 1; at 1 only the largest piece stays, and others of its very size.
    The mask itself when nothing is dropped.
    """
    kept = mask
    for value, share in shares.items():
        voxels = mask == value
        labels = label_pieces(voxels)
        sizes = np.bincount(labels.ravel())[1:]  # 0 is what lies outside
        if len(small := 1 + np.flatnonzero(sizes < share * sizes.max(initial=0))):
            kept = np.where(np.isin(labels, small), mask.dtype.type(0), kept)
    return kept


def label_pieces(voxels: np.ndarray) -> np.ndarray:
    """(Z, Y, X) bool -> int32: 1, 2, ... in each piece, whose voxels meet at least at corners, and 0 outside.

    Runs of voxels along a row are linked to the runs that they touch in the rows around; the smallest number of a
    linked piece then spreads over it. Equal to `scipy.ndimage.label` with a full cube, in its order too.
    """
    depth, height, width = voxels.shape
    rows = np.pad(voxels.reshape(depth * height, width), ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(rows, axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]  # exclusive
    piece = _spread(len(row), _links(row, start, end, height, width + 2))
    numbers = np.unique(piece, return_inverse=True)[1].astype(np.int32) + 1
    labels = np.zeros(voxels.shape, np.int32)
    labels[voxels] = np.repeat(numbers, end - start)
    return labels


def _links(row: np.ndarray, start: np.ndarray, end: np.ndarray, height: int, stride: int) -> np.ndarray:
    """(2, K): pairs of runs that touch. `stride` is more than a row and its neighbours at both ends."""
    firsts, lasts = row * stride + start, row * stride + end - 1
    pairs = []
    for step_z, step_y in _ROWS:
        inside = np.flatnonzero((row % height + step_y >= 0) & (row % height + step_y < height))
        base = (row[inside] + step_z * height + step_y) * stride
        low = np.searchsorted(lasts, base + start[inside] - 1, "left")
        high = np.searchsorted(firsts, base + end[inside], "right")
        counts = np.maximum(high - low, 0)
        ordinal = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs.append(np.stack([np.repeat(inside, counts), np.repeat(low, counts) + ordinal]))
    return np.concatenate(pairs, axis=1)


def _spread(count: int, links: np.ndarray) -> np.ndarray:
    """For each of `count` runs the smallest run that it is linked to, over however many others."""
    smallest = np.arange(count)
    while True:
        ends = smallest[links]
        low = ends.min(axis=0)
        found = smallest.copy()
        for side in ends:
            np.minimum.at(found, side, low)
        while not np.array_equal(found, jumped := found[found]):
            found = jumped
        if np.array_equal(found, smallest):
            return found
        smallest = found
