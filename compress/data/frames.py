"""A 3D image or a 4D cine as a source of frames: opened without its voxels, then read with one frame in memory.

Time is NIfTI's slowest axis and a gzip stream can only be read forwards, so frame after frame is also the fast way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.nifti import (
    Header,
    affine_of,
    check_header,
    check_size,
    finite_float32,
    opened,
    read_frame,
    read_header,
    spacing_of,
)
from compress.errors import DataError

MAX_FRAMES = 1000
"""A cine has 20 to 50 frames, real-time imaging some hundreds; a header with more is taken for damaged."""

MAX_CINE_VOXELS = 2**31
"""The most voxels over all frames. One frame is limited by `compress.data.nifti.MAX_VOXELS`."""


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

    @property
    def is_cine(self) -> bool:
        """Whether the file holds more than one frame."""
        return self.frames > 1

    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as finite float32 (Z, Y, X), scaled as the header says; the same numbers as `read_image`.

        The last frame comes only after a packed file's checksum was found right.
        Raises `DataError` for a file that is cut short or damaged, and for a frame with NaN or infinite voxels; a
        cine's frames are counted from 1.
        """
        size = (*reversed(self.shape), self.frames)
        with opened(self.path) as stream:
            check_size(stream, self.header, size, self.path)  # again: the file may have changed since it was opened
            stream.seek(self.header.get_data_offset())
            for number in range(1, self.frames + 1):
                where = f"Frame {number} of {self.path}" if self.is_cine else str(self.path)
                last = number == self.frames
                yield finite_float32(read_frame(stream, self.header, size, last=last), where)


def open_image(path: Path) -> ImageFile:
    """Read and check the header of a 3D image or a 4D cine; no voxel is read.

    Raises `DataError`, one line that names the file, for whatever `read_image` refuses by the header, for a fifth
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
