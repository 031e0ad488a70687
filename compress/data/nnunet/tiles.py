"""nnU-Net's sliding window: where tiles lie, what they weigh, and how their logits are summed.

Sums, weights and logits are float16 as nnU-Net keeps them, on the CPU as well: with float32 sums masks differ by a few
voxels a volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from compress.errors import DataError

STEP = 0.5
"""Of the tile's side, at most."""
_PEAK = 10.0
_SIGMA = 1 / 8
"""Of the tile's side."""

Run = Callable[[np.ndarray], np.ndarray]
"""images (N, C, H, W) float32 -> logits (N, classes, H, W) float32."""


def starts(size: int, tile: int) -> list[int]:
    """Where tiles begin along an axis of at least one tile: evenly spread, at most `STEP` apart."""
    count = int(np.ceil((size - tile) / (tile * STEP))) + 1
    apart = (size - tile) / (count - 1) if count > 1 else 0.0
    return [int(np.round(apart * i)) for i in range(count)]


def corners(shape: Sequence[int], tile: Sequence[int]) -> list[tuple[int, ...]]:
    """The first element of every tile, in nnU-Net's order: the sums are of floats."""
    return list(itertools.product(*(starts(n, t) for n, t in zip(shape, tile, strict=True))))


def padding(shape: Sequence[int], tile: Sequence[int]) -> list[tuple[int, int]]:
    """How many zeros go before and behind each axis that is shorter than a tile."""
    missing = [max(0, t - n) for n, t in zip(shape, tile, strict=True)]
    return [(m // 2, m - m // 2) for m in missing]


@cache
def weights(tile: tuple[int, ...]) -> np.ndarray:
    """What each place of a tile weighs: a Gaussian with peak 10, float16, nowhere 0."""
    found = np.ones(())
    for side in tile:
        found = np.multiply.outer(found, _gaussian(side))
    found = (found / (found.max() / _PEAK)).astype(np.float32).astype(np.float16)  # torch rounds twice
    found[found == 0] = found[found > 0].min()
    found.setflags(write=False)
    return found


def _gaussian(side: int) -> np.ndarray:
    """`scipy.ndimage.gaussian_filter1d` of a single one in the middle."""
    sigma = side * _SIGMA
    radius = int(4.0 * sigma + 0.5)
    bell = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    bell /= bell.sum()
    row, centre = np.zeros(side), side // 2
    low, high = max(0, centre - radius), min(side, centre + radius + 1)
    row[low:high] = bell[low - centre + radius : high - centre + radius]
    return row


def merge(tiles: Iterator[np.ndarray], where: Sequence[tuple[int, ...]], shape: Sequence[int]) -> np.ndarray:
    """The logits (C, *shape) float16 of an image from those of its tiles, each (C, *tile) float32, at `where`.

    Raises `DataError` where float16 overflows, as nnU-Net does.
    """
    total, weight = np.zeros(0, np.float16), np.zeros(tuple(shape), np.float16)
    for corner, logits in zip(where, tiles, strict=True):
        gaussian = weights(logits.shape[1:])
        place = tuple(slice(c, c + n) for c, n in zip(corner, logits.shape[1:], strict=True))
        if not total.size:
            total = np.zeros((len(logits), *shape), np.float16)
        weighted = logits * gaussian.astype(np.float32)
        with np.errstate(over="ignore"):  # found below
            total[(slice(None), *place)] = total[(slice(None), *place)].astype(np.float32) + weighted
        weight[place] = weight[place].astype(np.float32) + gaussian.astype(np.float32)
    with np.errstate(over="ignore"):
        found = (total.astype(np.float32) / weight.astype(np.float32)).astype(np.float16)
    if not np.isfinite(found).all():
        raise DataError(
            "The network's logits are not finite, or beyond what nnU-Net's float16 sums can hold.",
            cure="Its weights or the image are broken.",
        )
    return found


def mean_of_folds(logits: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of several networks' logits, summed and divided in float16."""
    first, *others = logits
    if not others:
        return first
    for other in others:
        first = (first.astype(np.float32) + other.astype(np.float32)).astype(np.float16)
    return (first.astype(np.float32) / np.float32(len(logits))).astype(np.float16)


def mirrored(run: Run, axes: Sequence[int]) -> Run:
    """`run` as the mean over the image and its mirror images along every combination of `axes` (0: H, 1: W)."""
    ways = [c for count in range(len(axes)) for c in itertools.combinations([a + 2 for a in axes], count + 1)]

    def mean(images: np.ndarray) -> np.ndarray:
        total = run(images)
        for way in ways:
            total = total + np.flip(run(np.ascontiguousarray(np.flip(images, way))), way)
        return total / np.float32(len(ways) + 1)

    return mean if ways else run
