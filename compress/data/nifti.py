"""Reading and writing 3D NIfTI files, checked before anything is allocated; nibabel's exceptions stay inside.

The header alone is parsed by nibabel (unchecked): its image classes quietly repair a bad header, for example a
voxel size of 0 becomes 1 mm, and a wrong millimetre is worse here than an error.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
from nibabel.nifti1 import data_type_codes
from nibabel.spatialimages import HeaderDataError

from compress.errors import DataError
from compress.files import atomic_path

MAX_VOXELS = 2**28
"""A header that asks for more than this (1 GiB as float32) is taken for damaged."""

GZIP_MAX_RATIO = 1032
"""Deflate cannot compress better than this, so a smaller file cannot hold what its header promises."""

_UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, HeaderDataError)
_WRONG_UNITS = {1: "metres", 3: "micrometres"}
_ENDINGS = (".nii", ".nii.gz")

Header = nib.Nifti1Header | nib.Nifti2Header
Stream = gzip.GzipFile | io.BufferedReader


class Geometry(Protocol):
    """Where voxels lie: a `NiftiArray` or a `Volume`."""

    @property
    def spacing(self) -> tuple[float, float, float]: ...

    @property
    def affine(self) -> np.ndarray: ...


@dataclass(frozen=True)
class NiftiArray:
    """The voxels of one 3D file and its geometry."""

    array: np.ndarray
    """(Z, Y, X): float32 for an image, uint8 for a mask."""
    spacing_mm: tuple[float, float, float]
    """Voxel size in mm along (z, y, x), from the header's zooms."""
    affine: np.ndarray
    """(4, 4), kept as found; in ACDC it does not hold the spacing."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """`spacing_mm`, under the name that `Volume` uses."""
        return self.spacing_mm


def read_image(path: Path) -> NiftiArray:
    """Read a 3D image as float32 (Z, Y, X).

    Raises `DataError`, one line that names the file, for anything that is not a whole, finite, 3D NIfTI file.
    """
    array, header = _read(Path(path))
    with np.errstate(over="ignore"):  # what overflows float32 becomes infinite and is refused below
        array = array.astype(np.float32)
    _refuse_non_finite(array, Path(path))
    return NiftiArray(array, _spacing(header), _affine(header, Path(path)))


def read_mask(path: Path) -> NiftiArray:
    """Read a 3D label map as uint8 (Z, Y, X), with its values as found.

    Raises `DataError` as `read_image` does, and for values that are not integers from 0 to 255.
    """
    array, header = _read(Path(path))
    _refuse_non_finite(array, Path(path))
    labels = np.unique(array)
    bad = [float(v) for v in labels if v != np.rint(v) or not 0 <= v <= 255]
    if bad:
        shown = ", ".join(f"{v:g}" for v in bad[:5])
        raise DataError(
            f"{path} is not a label map: it holds {shown}; labels are whole numbers from 0 to 255.",
            cure="Resample masks with nearest neighbour, or give the mask's folder instead of the images'.",
        )
    return NiftiArray(array.astype(np.uint8), _spacing(header), _affine(header, Path(path)))


def write_mask(path: Path, mask: np.ndarray, *, like: Geometry) -> Path:
    """Write a (Z, Y, X) integer mask as uint8 NIfTI with both the affine and the zooms of `like`; returns `path`.

    The file appears whole or not at all, and equal masks give equal bytes.
    Raises `DataError` for a mask that is not 3D and integer from 0 to 255, or a name without .nii or .nii.gz.
    """
    target, mask = Path(path), np.asarray(mask)
    if not target.name.endswith(_ENDINGS):
        raise DataError(f"Cannot write a mask to {target}.", cure="Give a name that ends in .nii.gz or .nii.")
    if mask.ndim != 3 or mask.dtype.kind not in "bui" or not mask.size or mask.min() < 0 or mask.max() > 255:
        raise DataError(
            f"Expected a (Z, Y, X) mask of integers from 0 to 255, got shape {mask.shape}, dtype {mask.dtype}."
        )
    content = _mask_bytes(mask, like)
    with atomic_path(target) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if target.suffix == ".gz" else content)
    return target


def _mask_bytes(mask: np.ndarray, like: Geometry) -> bytes:
    image = nib.Nifti1Image(np.ascontiguousarray(mask.T, dtype=np.uint8), np.asarray(like.affine, dtype=np.float64))
    image.header.set_zooms(tuple(reversed(like.spacing)))  # after the affine, which would overwrite them
    image.header.set_xyzt_units("mm")
    return image.to_bytes()


def _read(path: Path) -> tuple[np.ndarray, Header]:
    """The scaled array (Z, Y, X) and the header of one file, or a `DataError` that names it."""
    try:
        with _open(path) as stream:
            header = _read_header(stream, path)
            shape = _check_header(header, path)
            return _read_array(stream, header, shape, path), header
    except FileNotFoundError:
        raise DataError(f"No such file: {path}.") from None
    except _UNREADABLE as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise DataError(f"{path} cannot be read: {reason}.", cure="Copy or download the file again.") from fault


def _open(path: Path) -> Stream:
    """Open by content, not by name: a .nii.gz that was unpacked in place keeps working."""
    with path.open("rb") as stream:
        magic = stream.read(2)
    if not magic:
        raise DataError(f"{path} is empty (0 bytes).", cure="Copy or download the file again.")
    return gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb")


def _read_header(stream: Stream, path: Path) -> Header:
    block = stream.read(348)
    cls = nib.Nifti1Header if len(block) == 348 and block[344:348] == b"n+1\0" else nib.Nifti2Header
    if cls is nib.Nifti2Header:
        block += stream.read(540 - 348)
        if len(block) != 540 or block[4:8] != b"n+2\0":
            raise DataError(f"{path} is not a single-file NIfTI image.", cure="Convert it to .nii.gz (X, Y, Z).")
    return cls(block, check=False)


def _check_header(header: Header, path: Path) -> tuple[int, int, int]:
    """The three spatial sizes (X, Y, Z); `DataError` for everything that should not be allocated or trusted."""
    shape = tuple(int(n) for n in header.get_data_shape())
    if min(shape, default=0) < 1:
        raise DataError(f"{path} has an empty or negative dimension: shape {shape}.")
    if math.prod(shape[3:]) > 1:
        raise DataError(f"{path} is 4D (a cine): shape {shape}.", cure="Extract the ED and ES frames as 3D files.")
    if len(shape) < 3:
        raise DataError(f"{path} is {len(shape)}D: shape {shape}; expected 3D (X, Y, Z).", cure="Stack the slices.")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(f"{path} claims {math.prod(shape)} voxels, shape {shape}: its header looks damaged.")
    code = int(header["datatype"])
    if code not in data_type_codes.code or header.get_data_dtype().kind not in "iuf":
        raise DataError(f"{path} has NIfTI voxel type {code}; expected plain numbers (no colour, no complex).")
    _check_spacing(header, path)
    return shape[0], shape[1], shape[2]


def _check_spacing(header: Header, path: Path) -> None:
    units = _WRONG_UNITS.get(int(header["xyzt_units"]) & 7)
    if units:
        raise DataError(f"{path} gives its voxel size in {units}; expected millimetres.")
    spacing = _spacing(header)
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        shown = tuple(round(s, 4) for s in spacing)
        raise DataError(
            f"{path} has a voxel size that is not positive: {shown} mm (z, y, x).", cure="Correct its pixdim."
        )


def _read_array(stream: Stream, header: Header, shape: tuple[int, int, int], path: Path) -> np.ndarray:
    offset = int(header.get_data_offset())
    if offset < len(header.binaryblock):
        raise DataError(f"{path} says that its voxels start at byte {offset}, inside the header: it looks damaged.")
    needed = offset + math.prod(shape) * header.get_data_dtype().itemsize
    packed = isinstance(stream, gzip.GzipFile)
    if path.stat().st_size * (GZIP_MAX_RATIO if packed else 1) < needed:
        raise DataError(f"{path} is truncated: too small for shape {shape}.", cure="Copy or download the file again.")
    stream.seek(0)
    content = stream.read(needed)
    if len(content) < needed:
        raise DataError(
            f"{path} is truncated: {len(content)} of {needed} bytes.", cure="Copy or download the file again."
        )
    stream.read(1)  # at its end, gzip compares the checksum
    array = np.asarray(header.data_from_fileobj(io.BytesIO(content)))
    return np.ascontiguousarray(array.reshape(shape, order="F").T)


def _spacing(header: Header) -> tuple[float, float, float]:
    x, y, z = (float(size) for size in header["pixdim"][1:4])
    return z, y, x


def _affine(header: Header, path: Path) -> np.ndarray:
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except _UNREADABLE as fault:
        raise DataError(f"{path} has a damaged orientation (qform): {fault}.") from fault
    if not np.isfinite(affine).all():
        raise DataError(f"{path} has an affine with NaN or infinite values.")
    return affine


def _refuse_non_finite(array: np.ndarray, path: Path) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int(array.size - np.isfinite(array).sum())
        raise DataError(f"{path} holds {count} NaN or infinite voxels.", cure="Export the image again.")
