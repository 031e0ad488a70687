"""The header and the bytes of a NIfTI file, checked before anything is allocated; nibabel's exceptions stay inside.

The header alone is parsed by nibabel (unchecked): its image classes quietly repair a bad header, for example a
voxel size of 0 becomes 1 mm, and a wrong millimetre is worse here than an error. Images are read by
`compress.data.frames`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import data_type_codes
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from compress import outside
from compress.errors import DataError

MAX_VOXELS = 2**26
"""A header that asks for more than this (256 MiB as float32) is taken for damaged; a large short-axis stack has 2^23.
Zeros are packed a thousand times smaller, so it is the header alone that bounds what half a megabyte costs."""

GZIP_MAX_RATIO = 1032
"""Deflate cannot compress better than this, so a smaller file cannot hold what its header promises."""

_UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, HeaderDataError)
_WRONG_UNITS = {1: "metres", 3: "micrometres"}
_COPY_AGAIN = "Copy or download the file again."

Header = nib.Nifti1Header | nib.Nifti2Header
Stream = gzip.GzipFile | io.BufferedReader


class Digest(io.RawIOBase):
    """A file's bytes, hashed as they are read: what is said of a file is then said of the very bytes that were used."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self.raw, self.told = raw, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.raw.fileno()

    def readinto(self, buffer: Any) -> int:
        count = self.raw.readinto(buffer)  # pyright: ignore[reportAttributeAccessIssue]
        self.told.update(memoryview(buffer)[:count])
        return count

    def whole(self) -> str:
        """The SHA-256 of the whole file, once its rest has been read as well."""
        while self.read(_CHUNK):
            pass
        return self.told.hexdigest()


_CHUNK = 2**16


@contextmanager
def hashed(path: Path) -> Iterator[tuple[Stream, Digest]]:
    """As `opened`, for reading forwards alone, with what hashes the file meanwhile."""
    with _typed(path), _raw(path) as (raw, packed):
        digest = Digest(raw)
        with _unpacked(digest, packed) as stream:
            yield stream, digest


def skip(stream: Stream, count: int) -> None:
    """Read on by so many bytes."""
    while count > 0 and (content := stream.read(min(count, _CHUNK))):
        count -= len(content)


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """The bytes of a file, unpacked when they are gzip; whatever goes wrong inside becomes a one-line `DataError`."""
    with _typed(path), _raw(path) as (raw, packed), _unpacked(raw, packed) as stream:
        yield stream


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    if not outside.is_there(path):
        raise DataError(f"No such file: {path}.")
    try:
        yield
    except _UNREADABLE as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise DataError(f"{path} cannot be read: {reason}.", cure=_COPY_AGAIN) from fault


@contextmanager
def _raw(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The file from its first byte, and whether it is packed: by content, a .nii.gz unpacked in place keeps working.

    Links are followed: data sets are laid out by them, and what leads out of one is refused where its files are found.
    """
    with outside.opened(path, most=None, named=True, fault=DataError) as raw:
        magic = raw.read(2)
        if not magic:
            raise DataError(f"{path} is empty (0 bytes).", cure=_COPY_AGAIN)
        raw.seek(0)
        yield raw, magic == b"\x1f\x8b"


def _unpacked(raw: Any, packed: bool) -> Stream:
    return gzip.GzipFile(fileobj=raw) if packed else io.BufferedReader(raw)


def read_header(stream: Stream, path: Path) -> Header:
    """The header as it stands, unchecked, NIfTI-1 or -2 of either byte order; `DataError` for other files."""
    block = stream.read(348)
    cls = nib.Nifti1Header if len(block) == 348 and block[344:348] == b"n+1\0" else nib.Nifti2Header
    if cls is nib.Nifti2Header:
        block += stream.read(540 - 348)
        if len(block) != 540 or block[4:8] != b"n+2\0":
            raise DataError(f"{path} is not a single-file NIfTI image.", cure="Convert it to .nii.gz (X, Y, Z).")
    return cls(block, check=False)


def check_header(header: Header, path: Path) -> tuple[int, int, int, int]:
    """The sizes (X, Y, Z, frames), 1 frame for 3D; `DataError` for what should not be allocated or trusted."""
    shape = _claimed_shape(header)
    if min(shape, default=0) < 1:
        raise DataError(f"{path} has an empty or negative dimension: shape {shape}.")
    if math.prod(shape[4:]) > 1:
        raise DataError(f"{path} is {len(shape)}D: shape {shape}; expected 3D.", cure="Split it into 3D files.")
    if len(shape) < 3:
        raise DataError(f"{path} is {len(shape)}D: shape {shape}; expected 3D (X, Y, Z).", cure="Stack the slices.")
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise DataError(f"{path} claims {math.prod(shape)} voxels, shape {shape}: its header looks damaged.")
    code = int(header["datatype"])
    if code not in data_type_codes.code or header.get_data_dtype().kind not in "iuf":
        raise DataError(f"{path} has NIfTI voxel type {code}; expected plain numbers (no colour, no complex).")
    _check_spacing(header, path)
    return shape[0], shape[1], shape[2], math.prod(shape[3:])


def _claimed_shape(header: Header) -> tuple[int, ...]:
    """`dim` itself: `get_data_shape` reads some images as FreeSurfer surfaces."""
    dims = [int(n) for n in header["dim"]]
    return tuple(dims[1 : 1 + max(dims[0], 0)])


def _check_spacing(header: Header, path: Path) -> None:
    units = _WRONG_UNITS.get(int(header["xyzt_units"]) & 7)
    if units:
        raise DataError(f"{path} gives its voxel size in {units}; expected millimetres.")
    spacing = spacing_of(header)
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        shown = tuple(round(s, 4) for s in spacing)
        raise DataError(
            f"{path} has a voxel size that is not positive: {shown} mm (z, y, x).", cure="Correct its pixdim."
        )


def check_size(stream: Stream, header: Header, shape: tuple[int, ...], path: Path) -> None:
    """Refuse, before anything is allocated, a file too small for the voxels (X, Y, Z, frames) of its header."""
    offset = header.get_data_offset()
    if offset < len(header.binaryblock):
        raise DataError(f"{path} says that its voxels start at byte {offset}, inside the header: it looks damaged.")
    needed = offset + math.prod(shape) * header.get_data_dtype().itemsize
    most = _size_of(stream) * (GZIP_MAX_RATIO if isinstance(stream, gzip.GzipFile) else 1)
    if most < needed:
        raise DataError(f"{path} is truncated: too small for shape {_claimed_shape(header)}.", cure=_COPY_AGAIN)


def _size_of(stream: Stream) -> int:
    """Bytes of the file that is open, packed or not."""
    return os.fstat(stream.fileno()).st_size


def read_frame(stream: Stream, header: Header, shape: tuple[int, ...], *, last: bool) -> np.ndarray:
    """The next frame (Z, Y, X) as float32, scaled as the header says; shape is (X, Y, Z, ...).

    Slice by slice: a scaling computes in float64. EOFError when it is cut short.
    """
    dtype = header.get_data_dtype()
    needed = math.prod(shape[:2]) * dtype.itemsize
    slope, inter = header.get_slope_inter()
    frame = np.empty(shape[2::-1], np.float32)
    for number, plane in enumerate(frame):
        content = stream.read(needed)
        if len(content) < needed:
            missing = needed * (len(frame) - number) - len(content)
            raise EOFError(f"it is truncated, {missing} bytes are missing")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the callers
            plane[:] = apply_read_scaling(np.frombuffer(content, dtype).reshape(shape[1::-1]), slope, inter)
    if last:
        stream.read(1)  # at its end, gzip compares the checksum
    return frame


def finite_float32(array: np.ndarray, where: str) -> np.ndarray:
    """The array as float32; `DataError`, beginning with `where`, for NaN, infinity and what overflows."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows float32 becomes infinite, refused below
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        count = int(array.size - np.isfinite(array).sum())
        raise DataError(f"{where} holds {count} NaN or infinite voxels.", cure="Export the image again.")
    return array


def spacing_of(header: Header) -> tuple[float, float, float]:
    """Voxel size in mm along (z, y, x), from the zooms."""
    x, y, z = (float(size) for size in header["pixdim"][1:4])
    return z, y, x


def affine_of(header: Header, path: Path) -> np.ndarray:
    """(4, 4) float64 from sform, else qform, else the zooms; `DataError` when it is damaged."""
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except _UNREADABLE as fault:
        raise DataError(f"{path} has a damaged orientation (qform): {fault}.") from fault
    if not np.isfinite(affine).all():
        raise DataError(f"{path} has an affine with NaN or infinite values.")
    return affine


def nifti_header(
    affine: np.ndarray, shape: tuple[int, int, int], *, frames: int, interval_s: float
) -> nib.Nifti1Header:
    """A NIfTI header for float32 images (Z, Y, X) on this grid, with the place in sform and, if it can, in qform."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*reversed(shape), frames) if frames > 1 else shape[::-1])
    sizes = [float(size) for size in voxel_sizes(affine)]
    header.set_zooms([*sizes, interval_s] if frames > 1 else sizes)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    return header
