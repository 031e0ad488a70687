"""Images and masks: a 3D image or a 4D cine is opened without its voxels, then read with one frame in memory.

Time is NIfTI's slowest axis and a gzip stream can only be read forwards, so frame after frame is also the fast way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compress.data.itk_file import digest_itk, is_itk, read_itk_frames, read_itk_header
from compress.data.nifti_file import (
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
`compress.data.nifti_file.MAX_VOXELS`."""


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
    """Read and check the header of a 3D image or a 4D cine; no voxel is read. By its name it is NIfTI, or SimpleITK's.

    Raises `DataError`, one line that names the file, for a header that `compress.data.nifti_file` refuses, for a fifth
    dimension, and for more than `MAX_FRAMES` frames or `MAX_CINE_VOXELS` voxels.
    """
    path = Path(path)
    if is_itk(path):
        return _open_itk(path)
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


@dataclass(frozen=True, eq=False)
class _ItkFile(ImageFile):
    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as finite float32 (Z, Y, X); all are read at once."""
        try:
            yield from read_itk_frames(self.path)
        finally:
            self.seen.append(digest_itk(self.path))


def _open_itk(path: Path) -> ImageFile:
    told = read_itk_header(path)
    z, y, x = told.shape
    _check_cine((x, y, z, told.frames), path)
    return _ItkFile(path, told.shape, told.frames, told.spacing, told.affine, told.header)


def _check_cine(size: tuple[int, int, int, int], path: Path) -> None:
    if size[3] > MAX_FRAMES:
        raise DataError(f"{path} claims {size[3]} frames; at most {MAX_FRAMES} are read.", cure="Split the cine.")
    if math.prod(size) > MAX_CINE_VOXELS:
        raise DataError(
            f"{path} claims {math.prod(size)} voxels in {size[3]} frames; at most {MAX_CINE_VOXELS} are read.",
            cure="Split the cine, if its header is not damaged.",
        )
