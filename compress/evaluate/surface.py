"""Surface distance in millimetres, by MONAI. The only module of `evaluate` that needs torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance

from compress.data.volume import check_spacing
from compress.evaluate.metrics import check_masks


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """95th-percentile Hausdorff distance in mm of two (Z, Y, X) masks, in 3D; None where it is undefined.

    The larger of the two directed 95th percentiles between the masks' surface voxels, as MONAI computes it.
    `spacing_mm` is the voxel size along (z, y, x). Undefined when either mask is empty. Raises `DataError` for
    shapes, dtypes or spacings that do not fit.
    """
    check_masks(prediction, reference)
    spacing = check_spacing(spacing_mm, "The reference")
    masks = np.stack([prediction, reference]).astype(bool)
    if not masks.any(axis=(1, 2, 3)).all():
        return None
    predicted, referenced = (torch.from_numpy(mask)[None, None] for mask in masks[(slice(None), *_box(masks))])
    with warnings.catch_warnings():
        # MONAI 1.6 passes an argument of its own that it has deprecated; callers can neither cause nor cure it.
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy.*", category=FutureWarning)
        distance = compute_hausdorff_distance(
            predicted, referenced, include_background=True, percentile=95, spacing=list(spacing)
        )
    return float(distance.item())


def _box(masks: np.ndarray) -> tuple[slice, ...]:
    """Bounding box of the union of (2, Z, Y, X) masks. The distance does not depend on what lies outside."""
    corners = np.argwhere(masks)[:, 1:]
    return tuple(slice(int(low), int(high) + 1) for low, high in zip(corners.min(0), corners.max(0), strict=True))
