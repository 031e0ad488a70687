"""Images that SimpleITK reads, the extra [itk]: .mha, .nrrd, and .hdr with its .img. Their header is checked first.

A header may name another file as its voxels; such a file could be anybody's, so voxels must lie in the file itself, or
for .hdr in the .img beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from compress.data.nifti_file import GZIP_MAX_RATIO, MAX_VOXELS, finite_float32, nifti_header
from compress.errors import DataError
from compress.extras import install_command
from compress.files import digest_file, digest_json
from compress.outside import leads_out, opened

ITK_ENDINGS = (".mha", ".nrrd", ".hdr")
"""What these files are called; voxels of a .hdr lie in the .img beside it."""
MAX_ALL_VOXELS = 2**27
"""In all frames, as they are read at once."""
_READERS = {".mha": "MetaImageIO", ".nrrd": "NrrdImageIO", ".hdr": "NiftiImageIO"}
_HEAD = 2**16
"""Bytes in which a text header ends."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's x points to the left and its y to the back, NIfTI's to the right and to the front."""
_COPY = "Copy or export the file again."


@dataclass(frozen=True)
class ItkHeader:
    """What such a file says of itself."""

    shape: tuple[int, int, int]
    """(Z, Y, X) of one frame."""
    frames: int
    spacing: tuple[float, float, float]
    """Millimetres along (z, y, x)."""
    affine: np.ndarray
    """(4, 4) as NIfTI has it."""
    header: nib.Nifti1Header
    """The same as a NIfTI header, for masks."""


def is_itk(path: Path) -> bool:
    """Whether a file is read by SimpleITK, by its name."""
    return path.suffix.lower() in ITK_ENDINGS


def read_itk_header(path: Path) -> ItkHeader:
    """The checked header; no voxel is read.

    Raises `DataError`, one line that names the file, for a damaged header, voxels elsewhere, colours and vectors, a
    voxel size that is not positive, too many voxels, and where SimpleITK is not installed.
    """
    _check_place(path)
    reader = _reader(path)
    size = reader.GetSize()
    if len(size) not in (3, 4) or min(size) < 1:
        raise DataError(f"{path} is {len(size)}D: size {size}; expected 3D, or 4D with time.", cure="Stack the slices.")
    if reader.GetNumberOfComponents() != 1:
        raise DataError(
            f"{path} has {reader.GetNumberOfComponents()} numbers in each voxel; expected one (no colour, no vectors).",
            cure="Export each frame, or a cine, as grey levels.",
        )
    frames = size[3] if len(size) == 4 else 1
    if math.prod(size[:3]) > MAX_VOXELS or math.prod(size) > MAX_ALL_VOXELS:
        raise DataError(f"{path} claims {math.prod(size)} voxels, size {size}: its header looks damaged.")
    if _bytes(path) * GZIP_MAX_RATIO < math.prod(size):
        raise DataError(f"{path} is truncated: too small for size {size}.", cure=_COPY)
    affine = _affine(reader, len(size))
    x, y, z = (float(step) for step in reader.GetSpacing()[:3])
    if not np.isfinite(affine).all() or not all(math.isfinite(step) and step > 0 for step in (x, y, z)):
        raise DataError(f"{path} has a damaged geometry: spacing {(x, y, z)} mm.", cure="Correct its header.")
    shape = (size[2], size[1], size[0])
    header = nifti_header(affine, shape, frames=frames, interval_s=0)  # no such file tells the unit of time
    return ItkHeader(shape, frames, (z, y, x), affine, header)


def read_itk_frames(path: Path) -> Iterator[np.ndarray]:
    """Each frame as finite float32 (Z, Y, X); raises `DataError` as `read_itk_header`, and for damaged voxels."""
    import SimpleITK

    try:
        voxels = SimpleITK.GetArrayFromImage(_reader(path).Execute())
    except RuntimeError as fault:
        raise DataError(f"{path} cannot be read: {_reason(fault)}.", cure=_COPY) from fault
    frames = voxels if voxels.ndim == 4 else voxels[None]
    for number, frame in enumerate(frames, start=1):
        yield finite_float32(frame, f"Frame {number} of {path}" if len(frames) > 1 else str(path))


def digest_itk(path: Path) -> str:
    """SHA-256 of the file, for a .hdr of both files; raises `InputError`."""
    files = _files(path)
    return digest_file(path) if len(files) == 1 else digest_json([digest_file(each) for each in files])


def _files(path: Path) -> list[Path]:
    if path.suffix.lower() != ".hdr":
        return [path]
    voxels = (path.with_suffix(ending) for ending in (".img", ".IMG"))
    return [path, next((each for each in voxels if each.exists()), path.with_suffix(".img"))]


def _bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in _files(path))


def _check_place(path: Path) -> None:
    """The voxels must lie where they can be nobody else's."""
    for each in _files(path):
        if not each.is_file():
            raise DataError(f"{each} is missing, or no regular file.", cure=f"Put it beside {path.name}.")
        if leads_out(each, path.parent) and each != path:
            raise DataError(f"{each} is a link that leads out of its folder.", cure="Put the file itself there.")
    if path.suffix.lower() == ".hdr":
        return
    with opened(path, most=None, named=True, fault=DataError) as stream:
        head = stream.read(_HEAD)
    if path.suffix.lower() == ".mha":
        named = [line.partition(b"=")[2].strip() for line in head.splitlines() if line.startswith(b"ElementDataFile")]
        elsewhere = not named or named[0] != b"LOCAL"
    else:
        lines = head.replace(b"\r", b"").partition(b"\n\n")[0].lower().splitlines()
        elsewhere = any(line.startswith((b"data file:", b"datafile:")) for line in lines)
    if elsewhere:
        raise DataError(f"{path} holds no voxels of its own.", cure="Save the image as one file.")


def _reader(path: Path) -> Any:
    try:
        import SimpleITK
    except ModuleNotFoundError as fault:
        cure = f"{install_command('itk')} (or convert it to .nii.gz)"
        raise DataError(f"{path} is read by SimpleITK, which is not installed.", cure=cure) from fault
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as fault:
        raise DataError(f"{path} cannot be read: {_reason(fault)}.", cure=_COPY) from fault
    return reader


def _affine(reader: Any, dimensions: int) -> np.ndarray:
    turn = np.reshape(reader.GetDirection(), (dimensions, dimensions))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.asarray(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return _TO_RAS @ affine


def _reason(fault: RuntimeError) -> str:
    """The last line of ITK's, which says why, without the object's address."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return (lines[-1].rpartition("): ")[2] if lines else type(fault).__name__)[:160].rstrip(".")
