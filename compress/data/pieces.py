"""The separate pieces of a structure, dropping those that are small beside the largest one or bare, filling holes.

Small 2D networks leave islands where no heart is. Keeping the largest piece alone lost an LV that lay in two pieces;
a share of the largest keeps such pieces. numpy alone: importing scipy takes longer than segmenting a volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

CONNECTIVITY = 26
"""Voxels that meet at a corner belong together: slices shift between breath-holds."""
BARE = 0.1
"""Share of a cavity's outline on its muscle below which it is bare: 0.84 at least in each of the 1,808 slices in which
ACDC's experts see an LV. Networks miss some of a true cavity's muscle: at a half, two of 160 volumes of training
patients lost a slice that was theirs; at a tenth none did."""
HOLE_CONNECTIVITY = 4
"""Pixels of a hole meet at sides: a ring whose pixels meet at corners alone is closed."""
_ROWS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Steps (z, y) to half of the rows around one; the other half meets it from its own side."""
_NEXT_ROW = ((0, 1),)
_BORDER = -1


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


def drop_bare(mask: np.ndarray, rings: Mapping[int, int]) -> np.ndarray:
    """A mask (Z, Y, X) without what a ring should enclose, in slices where it is bare and larger than where it is not.

    It is bare where less than `BARE` of its outline lies on the ring. Networks miss the muscle of true cavities too,
    above all at the base; those are no larger than others, and stay. So does one that is bare in all slices.
    rings: the ring's label value -> that of what it encloses. The mask itself when nothing is dropped.
    """
    kept = mask
    for ring, inner in rings.items():
        edges, held = np.zeros(len(mask)), np.zeros(len(mask))
        for first, second in ((mask[:, 1:], mask[:, :-1]), (mask[:, :, 1:], mask[:, :, :-1])):
            for own, beside in ((first, second), (second, first)):
                edge = (own == inner) & (beside != inner)
                edges += edge.sum(axis=(1, 2))
                held += (edge & (beside == ring)).sum(axis=(1, 2))
        bare, sizes = held < BARE * edges, (mask == inner).sum(axis=(1, 2))
        most = sizes[~bare].max(initial=0)
        if most and (wrong := bare & (sizes > most)).any():
            kept = np.where(wrong[:, None, None] & (mask == inner), mask.dtype.type(0), kept)
    return kept


def fill_holes(mask: np.ndarray, values: Iterable[int], rings: Mapping[int, int] = MappingProxyType({})) -> np.ndarray:
    """A mask (Z, Y, X) in which the holes of these structures are theirs; the mask itself when there are none.

    A hole is background within one slice that meets one structure and nothing else, neither another structure nor the
    slice's border: the cavity within the myocardium is no hole, nor what lies between both.
    rings: structure -> what it encloses. In a slice without the latter its hole is a cavity that was not found, and
    stays.
    """
    regions = _labelled(mask == 0, _NEXT_ROW, reach=0)
    around = np.pad(mask.astype(np.int16), ((0, 0), (1, 1), (1, 1)), constant_values=_BORDER)
    lowest = np.full(regions.max(initial=0) + 1, np.iinfo(np.int16).max, np.int16)
    highest = np.full_like(lowest, _BORDER)
    height, width = mask.shape[1:]
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = around[:, y : y + height, x : x + width]
        met = (regions > 0) & (beside != 0)
        np.minimum.at(lowest, regions[met], beside[met])
        np.maximum.at(highest, regions[met], beside[met])
    for ring, inner in rings.items():
        cavities = np.unique(regions[~(mask == inner).any(axis=(1, 2))])
        lowest[cavities[lowest[cavities] == ring]] = _BORDER
    fill = np.where((lowest == highest) & np.isin(lowest, list(values)), lowest, 0)
    return np.where(regions > 0, fill[regions], mask).astype(mask.dtype) if fill.any() else mask


def label_pieces(voxels: np.ndarray) -> np.ndarray:
    """(Z, Y, X) bool -> int32: 1, 2, ... in each piece, whose voxels meet at least at corners, and 0 outside.

    Runs of voxels along a row are linked to the runs that they touch in the rows around; the smallest number of a
    linked piece then spreads over it. Equal to `scipy.ndimage.label` with a full cube, in its order too.
    """
    return _labelled(voxels, _ROWS, reach=1)


def _labelled(voxels: np.ndarray, steps: Sequence[tuple[int, int]], *, reach: int) -> np.ndarray:
    """As `label_pieces`; runs meet in rows that are `steps` apart, at corners too where `reach` is 1."""
    depth, height, width = voxels.shape
    rows = np.pad(voxels.reshape(depth * height, width), ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(rows, axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]  # exclusive
    piece = _spread(len(row), _links((row, start, end), (height, width + 2), steps, reach))
    numbers = np.unique(piece, return_inverse=True)[1].astype(np.int32) + 1
    labels = np.zeros(voxels.shape, np.int32)
    labels[voxels] = np.repeat(numbers, end - start)
    return labels


def _links(
    runs: tuple[np.ndarray, np.ndarray, np.ndarray], size: tuple[int, int], steps: Sequence[tuple[int, int]], reach: int
) -> np.ndarray:
    """(2, K): pairs of runs (row, start, end) that touch. `size` is the height, and more than a row on both sides."""
    (row, start, end), (height, stride) = runs, size
    firsts, lasts = row * stride + start, row * stride + end - 1
    pairs = []
    for step_z, step_y in steps:
        inside = np.flatnonzero((row % height + step_y >= 0) & (row % height + step_y < height))
        base = (row[inside] + step_z * height + step_y) * stride
        low = np.searchsorted(lasts, base + start[inside] - reach, "left")
        high = np.searchsorted(firsts, base + end[inside] - 1 + reach, "right")
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
