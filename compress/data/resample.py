"""Resampling slices with numpy alone, axis by axis.

Equal to `scipy.ndimage.zoom(..., mode="nearest", grid_mode=True)` within rounding (the tests compare them). It is
written out because importing scipy.ndimage takes longer than a pruned network needs for a whole volume. Sums are
float64, rounded once to float32, and use no BLAS: the same on every machine, whatever other threads do.

Cubic B-splines follow Unser, Aldroubi and Eden, IEEE TPAMI 13(3):277-285, 1991.
"""

from __future__ import annotations

import numpy as np

_PAD = 12
"""Pixels that edges are continued by: the spline's memory fades by 0.27 a pixel, so beyond lies nothing visible."""
_AT_ONCE = 8
"""Slices in float64 at a time: bounds the memory."""
_POLE = float(np.sqrt(3.0) - 2.0)
"""The pole of the cubic spline's filter."""

Window = tuple[slice, slice]


def cubic(images: np.ndarray, shape: tuple[int, int], window: Window) -> np.ndarray:
    """The `window` (rows, columns) of images (N, Y, X) resampled to `shape` by cubic splines, float32.

    Pixel edges are aligned, and no value goes beyond the range of its own image.
    """
    if images.shape[1:] == shape:
        return images[(slice(None), *window)].astype(np.float32)
    starts = range(0, len(images), _AT_ONCE)
    return np.concatenate([_cubic(images[start : start + _AT_ONCE], shape, window) for start in starts])


def _cubic(images: np.ndarray, shape: tuple[int, int], window: Window) -> np.ndarray:
    rows = cubic_along(images.transpose(1, 0, 2), shape[0], window[0])  # (rows, N, X)
    both = cubic_along(rows.transpose(2, 1, 0), shape[1], window[1])  # (columns, N, rows)
    limits = (limit(axis=(1, 2))[:, None, None] for limit in (images.min, images.max))
    return np.clip(both.transpose(1, 2, 0), *limits).astype(np.float32)


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


def centres(n: int, m: int) -> np.ndarray:
    """Where the centres of `m` cells lie among the centres of `n` cells that cover the same length."""
    return (np.arange(m) + 0.5) * (n / m) - 0.5


def _taps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `m` cells its two neighbours among `n`, and the share of the second (float32)."""
    where = np.clip(centres(n, m), 0, n - 1)
    first = where.astype(np.intp)
    return first, np.minimum(first + 1, n - 1), (where - first).astype(np.float32)


def cubic_along(samples: np.ndarray, m: int, part: slice) -> np.ndarray:
    """The cells `part` of samples (n, ...) resampled to `m` along the first axis, float64."""
    n = len(samples)
    where = centres(n, m)[part] + _PAD
    base = np.floor(where).astype(np.intp)
    t = (where - base)[:, None, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3)
    coefficients = _spline_coefficients(samples)
    values = coefficients[base - 1] * (weights[0] / 6)
    for offset, weight in enumerate(weights[1:]):
        values += coefficients[base + offset] * (weight / 6)
    return values


def _spline_coefficients(samples: np.ndarray) -> np.ndarray:
    """(n + 2 pads, ...) float64: the spline through samples (n, ...) with continued edges, mirrored beyond them.

    One filter forwards and one backwards.
    """
    found = np.empty((len(samples) + 2 * _PAD, *samples.shape[1:]))
    found[_PAD:-_PAD] = samples
    found[:_PAD], found[-_PAD:] = samples[0], samples[-1]
    found *= 6.0
    mirrored = found[: 3 * _PAD] * (_POLE ** np.arange(1, len(found[: 3 * _PAD]) + 1))[:, None, None]
    found[0] += mirrored.sum(axis=0)
    for i in range(1, len(found)):
        found[i] += _POLE * found[i - 1]
    found[-1] *= _POLE / (_POLE - 1.0)
    for i in range(len(found) - 2, -1, -1):
        found[i] = _POLE * (found[i + 1] - found[i])
    return found
