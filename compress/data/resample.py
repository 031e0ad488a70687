"""Resampling slices with numpy alone, as small matrices along rows and columns.

Equal to `scipy.ndimage.zoom(..., mode="nearest", grid_mode=True)` within rounding (the tests compare them). It is
written out because importing scipy.ndimage takes longer than a pruned network needs for a whole volume, and
because sums in float64 that are rounded once to float32 are the same on every machine.

Cubic B-splines follow Unser, Aldroubi and Eden, IEEE TPAMI 13(3):277-285, 1991.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_PAD = 12
"""Pixels that edges are continued by: the spline's memory fades by 0.27 a pixel, so beyond lies nothing visible."""

Window = tuple[slice, slice]


def cubic(images: np.ndarray, shape: tuple[int, int], window: Window) -> np.ndarray:
    """The `window` (rows, columns) of images (N, Y, X) resampled to `shape` by cubic splines, float32.

    Pixel edges are aligned, and no value goes beyond the range of its own image.
    """
    if images.shape[1:] == shape:
        return images[(slice(None), *window)].astype(np.float32)
    rows, columns = (_cubic_matrix(n, m)[part] for n, m, part in zip(images.shape[1:], shape, window, strict=True))
    low, high = (limit(axis=(1, 2), keepdims=True) for limit in (images.min, images.max))
    return np.stack(
        [
            np.clip(rows @ image.astype(np.float64) @ columns.T, *limits).astype(np.float32)
            for image, *limits in zip(images, low[:, 0], high[:, 0], strict=True)
        ]
    )


def linear(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Images (N, Y, X) resampled to `shape` by linear interpolation, pixel edges aligned, float32."""
    if images.shape[1:] == shape:
        return images.astype(np.float32)
    (first, second, share), columns = (_taps(n, m) for n, m in zip(images.shape[1:], shape, strict=True))
    images = images.astype(np.float32, copy=False)
    tall = _mix(images[:, first], images[:, second], share[:, None])
    return _mix(tall[:, :, columns[0]], tall[:, :, columns[1]], columns[2])


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """first + (second - first) * share, in place of `second`."""
    second -= first
    second *= share
    second += first
    return second


def _places(n: int, m: int) -> np.ndarray:
    """Where the centres of `m` cells lie among the centres of `n` cells that cover the same length."""
    return (np.arange(m) + 0.5) * (n / m) - 0.5


@lru_cache(maxsize=32)
def _taps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `m` cells its two neighbours among `n`, and the share of the second (float32)."""
    places = np.clip(_places(n, m), 0, n - 1)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, n - 1), (places - first).astype(np.float32)


@lru_cache(maxsize=32)
def _cubic_matrix(n: int, m: int) -> np.ndarray:
    """(m, n) float64: what turns `n` samples into `m`, spline coefficients and continued edges included."""
    places = _places(n, m) + _PAD
    base = np.floor(places).astype(np.intp)
    t = (places - base)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3)
    coefficients = _spline_coefficients(n + 2 * _PAD)
    values = np.zeros((m, n + 2 * _PAD))
    for offset, weight in enumerate(weights):
        values += weight / 6 * coefficients[base + offset - 1]
    matrix = np.array(values[:, _PAD : _PAD + n])
    matrix[:, 0] += values[:, :_PAD].sum(axis=1)
    matrix[:, -1] += values[:, _PAD + n :].sum(axis=1)
    return matrix


def _spline_coefficients(n: int) -> np.ndarray:
    """(n, n): coefficients of the cubic spline through n samples that are mirrored at both ends.

    The inverse of the filter (1/6, 4/6, 1/6) fades by the factor z per sample; each sample answers with its two
    mirror images. Further images lie at least n samples away, where z^n is nothing.
    """
    z = np.sqrt(3.0) - 2.0
    fading = -6 * z / (1 - z**2) * z ** np.arange(2 * n, dtype=np.float64)
    at = np.arange(n)
    sums = at[:, None] + at
    return fading[np.abs(at[:, None] - at)] + fading[sums + 1] + fading[2 * n - 1 - sums]
