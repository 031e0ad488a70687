"""Images and masks: a 3D image or a 4D cine is opened without its voxels, then read with one frame in memory.

Time is NIfTI's slowest axis and a gzip stream can only be read forwards, so frame after frame is also the fast way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from compress.data.nifti import (
    Header,
    affine_of,
    check_header,
    check_size,
    finite_float32,
    hashed,
    opened,
    read_frame,
    read_header,
    skip,
    spacing_of,
)
from compress.errors import DataError

MAX_FRAMES = 1000
"""A cine has 20 to 50 frames, real-time imaging some hundreds; a header with more is taken for damaged."""

MAX_CINE_VOXELS = 2**29
"""The most voxels over all frames: their labels are half a gigabyte. One frame is limited by
`compress.data.nifti.MAX_VOXELS`."""

LABEL_ROUNDING = 1e-3
"""What is this near to a whole number is one: 10000 times a header's scaling of 0.0001 is 0.99999997. Interpolated
masks hold values in between, which differ by more."""


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
    bad = [float(v) for v in labels if abs(v - np.rint(v)) > LABEL_ROUNDING or not 0 <= np.rint(v) <= 255]
    if bad:
        shown = ", ".join(f"{v:g}" for v in bad[:5])
        raise DataError(
            f"{path} is not a label map: it holds {shown}; labels are whole numbers from 0 to 255.",
            cure="Resample masks with nearest neighbour, or give the mask's folder instead of the images'.",
        )
    return replace(mask, array=np.rint(mask.array).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class ImageFile:
    """One image on disk whose header has been checked."""

    path: Path
    shape: tuple[int, int, int]
    """(Z, Y, X) of one frame."""
    frames: int
    """1 for a 3D file."""
    spacing: tuple[float, float, float]
    """Voxel size in mm along (z, y, x), from the header's zooms."""
    affine: np.ndarray
    """(4, 4), kept as found; in ACDC it does not hold the spacing."""
    header: Header
    """As it stands in the file; it can hold the patient's name."""
    seen: list[str] = field(default_factory=list, repr=False, kw_only=True)
    """SHA-256 of the file, each time that its voxels were read."""

    def __str__(self) -> str:
        """How messages name it."""
        return str(self.path)

    @property
    def digest(self) -> str:
        """What `digest` of its place says, of the very bytes that the voxels came from; "" before they are read."""
        return self.seen[-1] if self.seen else ""

    @property
    def is_cine(self) -> bool:
        """Whether the file holds more than one frame."""
        return self.frames > 1

    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as finite float32 (Z, Y, X), scaled as the header says.

        The last frame comes only after a packed file's checksum was found right.
        Raises `DataError` for a file that is cut short or damaged, and for a frame with NaN or infinite voxels; a
        cine's frames are counted from 1.
        """
        size = (*reversed(self.shape), self.frames)
        with hashed(self.path) as (stream, digest):
            check_size(stream, self.header, size, self.path)  # again: the file may have changed since it was opened
            if (found := read_header(stream, self.path)).binaryblock != self.header.binaryblock:
                raise DataError(f"{self.path} changed while it was read.", cure="Start again when nobody writes it.")
            skip(stream, self.header.get_data_offset() - len(found.binaryblock))
            try:
                for number in range(1, self.frames + 1):
                    where = f"Frame {number} of {self.path}" if self.is_cine else str(self.path)
                    last = number == self.frames
                    yield finite_float32(read_frame(stream, self.header, size, last=last), where)
            finally:
                self.seen.append(digest.whole())


def open_image(path: Path) -> ImageFile:
    """Read and check the header of a 3D image or a 4D cine; no voxel is read.

    Raises `DataError`, one line that names the file, for a header that `compress.data.nifti` refuses, for a fifth
    dimension, and for more than `MAX_FRAMES` frames or `MAX_CINE_VOXELS` voxels.
    """
    path = Path(path)
    with opened(path) as stream:
        header = read_header(stream, path)
        size = check_header(header, path)
        if (dimensions := int(header["dim"][0])) > 7:
            raise DataError(f"{path} says that it has {dimensions} dimensions (dim[0]); NIfTI has 7 at most.")
        _check_cine(size, path)
        check_size(stream, header, size, path)
        header.get_slope_inter()  # raises on a scaling that is no number
    x, y, z, frames = size
    return ImageFile(path, (z, y, x), frames, spacing_of(header), affine_of(header, path), header)


def _check_cine(size: tuple[int, int, int, int], path: Path) -> None:
    if size[3] > MAX_FRAMES:
        raise DataError(f"{path} claims {size[3]} frames; at most {MAX_FRAMES} are read.", cure="Split the cine.")
    if math.prod(size) > MAX_CINE_VOXELS:
        raise DataError(
            f"{path} claims {math.prod(size)} voxels in {size[3]} frames; at most {MAX_CINE_VOXELS} are read.",
            cure="Split the cine, if its header is not damaged.",
        )
