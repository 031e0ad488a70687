"""Reading a whole 3D image or mask: its voxels, its spacing from the header's zooms, every fault typed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.data.frames import ImageFile, open_image
from compress.errors import DataError

LABEL_ROUNDING = 1e-3
"""As a part of the value (up to 10): what is this near to a whole number is one. 10000 times a header's scaling of
0.0001 is 0.99999997, and 765 times 0.00392 (of 1/255) 2.9988. Interpolated masks hold values in between."""


@dataclass(frozen=True)
class NiftiArray:
    """The voxels of one 3D file and its geometry."""

    array: np.ndarray
    """(Z, Y, X): float32 for an image, uint8 for a mask."""
    spacing_mm: tuple[float, float, float]
    """Voxel size in mm along (z, y, x), from the header's zooms."""
    affine: np.ndarray
    """(4, 4), kept as found; in ACDC it does not hold the spacing."""


def read_image(path: Path | ImageFile) -> NiftiArray:
    """Read a 3D image, on disk or opened, as float32 (Z, Y, X).

    Raises `DataError`, one line that names the file, for anything that is not a whole, finite, 3D NIfTI file.
    """
    file = path if isinstance(path, ImageFile) else open_image(path)
    if file.is_cine:
        raise DataError(
            f"{path} is 4D (a cine) of {file.frames} frames.", cure="Extract the ED and ES frames as 3D files."
        )
    return NiftiArray(next(file.volumes()), file.spacing, file.affine)


def read_mask(path: Path | ImageFile) -> NiftiArray:
    """Read a 3D label map as uint8 (Z, Y, X), with its values as found up to rounding.

    Raises `DataError` as `read_image` does, and for values that are not integers from 0 to 255.
    """
    mask = read_image(path)
    labels = np.unique(mask.array)
    whole = np.rint(labels)
    near = np.abs(labels - whole) <= LABEL_ROUNDING * np.clip(whole, 1, 10)
    bad = [float(v) for v in labels[~near | (whole < 0) | (whole > 255)]]
    if bad:
        shown = ", ".join(f"{v:g}" for v in bad[:5])
        raise DataError(
            f"{path} is not a label map: it holds {shown}; labels are whole numbers from 0 to 255.",
            cure="Resample masks with nearest neighbour, or give the mask's folder instead of the images'.",
        )
    return replace(mask, array=np.rint(mask.array).astype(np.uint8))
