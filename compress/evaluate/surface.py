"""Surface distance in millimetres, by MONAI. The only module of `evaluate` that needs torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance

from compress.evaluate.metrics import check_masks, check_spacing


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """95th-percentile Hausdorff distance in mm of two (Z, Y, X) masks, in 3D; None where it is undefined.

    The larger of the two directed 95th percentiles between the masks' surface voxels, as MONAI computes it.
    `spacing_mm` is the voxel size along (z, y, x). Undefined when either mask is empty. Raises `DataError` for
    shapes, dtypes or spacings that do not fit.
    """
    check_masks(prediction, reference)
    spacing = check_spacing(spacing_mm)
    masks = np.stack([prediction, reference]).astype(bool)
    if not masks.any(axis=(1, 2, 3)).all():
        return None
    predicted, referenced = (torch.from_numpy(mask)[None, None] for mask in masks[(slice(None), *_box(masks.any(0)))])
    distance = compute_hausdorff_distance(
        predicted, referenced, include_background=True, percentile=95, spacing=list(spacing)
    )
    return float(distance.item())


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The bounding box of a non-empty mask. The distance does not depend on what lies outside the union."""
    corners = np.argwhere(mask)
    return tuple(slice(int(low), int(high) + 1) for low, high in zip(corners.min(0), corners.max(0), strict=True))
