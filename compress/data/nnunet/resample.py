"""nnU-Net's resampling: cubic splines for images, linear for logits, plane by plane where the voxels are flat.

Equal to `resample_data_or_seg_to_shape` of nnU-Net 2.8.1, which calls `skimage.transform.resize` on float64: images bit
for bit, logits once they are rounded to float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compress.data.resample import centres, cubic_along

ANISOTROPIC = 3
"""Above this ratio of the largest to the smallest voxel side, planes are resampled one by one."""
_AT_ONCE = 8
"""Planes in float64 at a time: bounds the memory."""

Shape = tuple[int, int, int]
Spacing = Sequence[float]


def new_shape(shape: Sequence[int], spacing: Spacing, target: Spacing) -> Shape:
    """Voxels along each axis after resampling; halves go to the even number."""
    z, y, x = (round(have / want * n) for n, have, want in zip(shape, spacing, target, strict=True))
    return z, y, x


def plane_axis(spacing: Spacing, target: Spacing) -> int | None:
    """The axis whose planes are resampled one by one: the coarsest of flat voxels; None: all axes at once.

    The present spacing decides, then that after resampling.
    """
    flat = next((s for s in (spacing, target) if max(s) / min(s) > ANISOTROPIC), None)
    if flat is None:
        return None
    coarsest = [axis for axis in range(3) if max(flat) / flat[axis] == 1]
    return coarsest[0] if len(coarsest) == 1 else None


def resample_image(image: np.ndarray, shape: Shape, axis: int | None) -> np.ndarray:
    """image (Z, Y, X) resampled to `shape` by cubic splines, float32; `axis` as `plane_axis` says.

    No value leaves the range of its own plane, without planes that of the whole image. Across planes the nearest is
    taken. An image that has the shape is returned as it is.
    """
    if image.shape == shape:
        return image
    if axis is None and image.shape[0] == shape[0]:  # splines through an unchanged axis give back its own values
        parts = [image[i : i + _AT_ONCE] for i in range(0, len(image), _AT_ONCE)]
        limits = (image.min(), image.max())
        return np.concatenate([np.clip(_splines(p, shape, (1, 2)), *limits).astype(np.float32) for p in parts])
    inside = tuple(other for other in range(3) if other != axis)
    low, high = (limit(axis=inside, keepdims=True) for limit in (image.min, image.max))
    if axis == 0:
        steps = [slice(i, i + _AT_ONCE) for i in range(0, len(image), _AT_ONCE)]
        found = np.concatenate(
            [np.clip(_splines(image[s], shape, inside), low[s], high[s]).astype(np.float32) for s in steps]
        )
    else:
        found = np.clip(_splines(image, shape, inside), low, high).astype(np.float32)
    return found if axis is None else _nearest(found, shape[axis], axis)


def resample_logits(logits: np.ndarray, shape: tuple[int, ...], nearest: int | None) -> np.ndarray:
    """logits (C, ...) float16 resampled to `shape` (without C) linearly, along the axis `nearest` by the nearest.

    Computed in float64 and rounded once to float16.
    """
    if logits.shape[1:] == shape:
        return logits
    found = logits.astype(np.float64)
    for axis, size in enumerate(shape):
        if found.shape[axis + 1] != size:
            along = _nearest if axis == nearest else _linear
            found = along(found, size, axis + 1)
    return found.astype(np.float16)


def _splines(image: np.ndarray, shape: Shape, axes: Sequence[int]) -> np.ndarray:
    """float64."""
    for axis in axes:
        image = np.moveaxis(cubic_along(np.moveaxis(image, axis, 0), shape[axis], slice(None)), 0, axis)
    return image


def _linear(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    n = values.shape[axis]
    where = np.clip(centres(n, size), 0, n - 1)
    first = where.astype(np.intp)
    share = (where - first).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    second = values.take(np.minimum(first + 1, n - 1), axis)
    return values.take(first, axis) * (1 - share) + second * share


def _nearest(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    n = values.shape[axis]
    return (
        values.take(np.clip(np.floor(centres(n, size) + 0.5).astype(np.intp), 0, n - 1), axis) if n != size else values
    )
