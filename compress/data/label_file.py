"""Writing predicted labels onto exactly the grid that their image claims, whatever that header looks like."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from compress.data.frames import ImageFile
from compress.data.nifti_file import Header
from compress.data.volume import NIFTI_ENDINGS
from compress.errors import DataError
from compress.files import atomic_path

# Copied bit for bit, as nibabel's setters would reconcile affine and zooms, which disagree in ACDC. Nothing else is
# copied: descrip, aux_file, db_name, intent_name and header extensions are free text, where scanners and converters
# put patients' names.
SPATIAL = (
    "dim",
    "dim_info",
    "pixdim",
    "xyzt_units",
    "toffset",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)
DESCRIPTION = b"cardiocompress"
"""In the header of every mask that is written here, so that ours are told from others'."""
NO_EXTENSIONS = b"\0\0\0\0"
_LEVEL = 6
"""zlib's; label maps come out hardly smaller at 9."""


def write_labels(path: Path, labels: np.ndarray, *, like: ImageFile) -> Path:
    """Write integer labels from 0 to 255, (Z, Y, X) or for a cine (T, Z, Y, X), as uint8 NIfTI; returns `path`.

    Every spatial field of `like`'s header is kept bit for bit, and NIfTI-1 or -2 with it. The file appears whole or
    not at all; equal labels give equal bytes with the same zlib.
    Raises `DataError` for labels that do not fit `like`, a name without .nii or .nii.gz, or the image's own path.
    """
    target, labels = Path(path), np.asarray(labels)
    if not target.name.endswith(NIFTI_ENDINGS):
        raise DataError(f"Cannot write a mask to {target}.", cure="Give a name that ends in .nii.gz or .nii.")
    _check_labels(labels, like)
    if target.exists() and like.path.exists() and target.samefile(like.path):
        raise DataError(f"The mask would overwrite its image {like.path}.", cure="Choose another output folder.")
    header = mask_header(like.header).binaryblock + NO_EXTENSIONS
    voxels = np.ascontiguousarray(labels, dtype=np.uint8).data
    with atomic_path(target) as temporary, temporary.open("wb") as raw:
        if target.suffix == ".nii":
            raw.write(header)
            raw.write(voxels)
        else:  # no time of day and no file name enter the gzip header
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed:
                packed.write(header)
                packed.write(voxels)
    return target


def _check_labels(labels: np.ndarray, like: ImageFile) -> None:
    frames = (like.frames, *like.shape)
    expected = frames if like.is_cine else like.shape
    if labels.shape not in (expected, frames):
        raise DataError(f"The labels have shape {labels.shape}; {like.path} has {expected}.")
    if labels.dtype.kind not in "bui" or labels.min() < 0 or labels.max() > 255:
        raise DataError(f"Labels are integers from 0 to 255; got {labels.dtype} from {labels.min()} to {labels.max()}.")


def mask_header(image: Header) -> Header:
    """A native header for uint8 labels on the image's grid."""
    header = spatial_header(image, np.uint8)
    header["descrip"] = DESCRIPTION
    return header


def spatial_header(image: Header, dtype: type[np.generic]) -> Header:
    """A native header for unscaled voxels of `dtype` on the image's grid, without its texts and extensions."""
    header = type(image)()
    header.set_data_dtype(dtype)
    for field in SPATIAL:
        header[field] = image[field]
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = len(header.binaryblock) + len(NO_EXTENSIONS)
    return header
