"""A stack: one short-axis scan out of many DICOM files, opened like any other image, read with one frame in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes

from compress.data.dicom.header import Frame, Pixels, quiet_pydicom
from compress.data.dicom.views import Turn, upright
from compress.data.frames import ImageFile
from compress.data.nifti_file import finite_float32, nifti_header
from compress.errors import DataError
from compress.files import digest_file, digest_json
from compress.outside import opened

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's x points to the left and its y to the back, NIfTI's to the right and to the front."""


@dataclass(frozen=True)
class Stack:
    """Where the voxels of one scan lie; nothing of them is held."""

    folder: Path
    numbers: tuple[int, ...]
    """The series that it came from; several where each slice was a series of its own."""
    frames: Sequence[tuple[Frame, ...]]
    """Times, each with its slices along the direction across them."""
    interval_ms: float
    """Mean time between frames; 0 when unknown."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files, each once, in order of time and place."""
        return tuple(dict.fromkeys(frame.path for slices in self.frames for frame in slices))

    @property
    def turn(self) -> Turn:
        """How its slices are turned to stand upright."""
        return upright(self.frames[0][0].plane.orientation)

    def affine(self) -> np.ndarray:
        """(4, 4): voxel (x, y, slice) of the upright stack to NIfTI's millimetres (right, front, head)."""
        first, last = self.frames[0][0], self.frames[0][-1]
        rows, columns = first.plane.spacing
        matrix = np.eye(4)
        matrix[:3, 0] = np.asarray(first.plane.orientation[:3]) * columns
        matrix[:3, 1] = np.asarray(first.plane.orientation[3:]) * rows
        steps = max(len(self.frames[0]) - 1, 1)
        matrix[:3, 2] = (np.asarray(last.position) - np.asarray(first.position)) / steps
        matrix[:3, 3] = first.position
        return _TO_RAS @ matrix @ self.turn.indices((first.pixels.rows, first.pixels.columns))

    def open(self) -> ImageFile:
        """The scan as an image file that `volumes` reads frame by frame."""
        pixels, affine = self.frames[0][0].pixels, self.affine()
        rows, columns = (pixels.rows, pixels.columns)[:: -1 if self.turn.swap else 1]
        shape = (len(self.frames[0]), rows, columns)
        x, y, z = (float(size) for size in voxel_sizes(affine))
        header = nifti_header(affine, shape, frames=len(self.frames), interval_s=self.interval_ms / 1000)
        return _StackImage(self.folder, shape, len(self.frames), (z, y, x), affine, header, self)

    def digest(self) -> str:
        """SHA-256 over its files' digests, in order; raises `InputError` as `digest_file` does."""
        return digest_json([digest_file(path) for path in self.paths])


@dataclass(frozen=True, eq=False)
class _StackImage(ImageFile):
    stack: Stack

    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as finite float32 (Z, Y, X). Raises `DataError` for a file that changed or is damaged."""
        turn = self.stack.turn
        for number, slices in enumerate(self.stack.frames, start=1):
            volume = np.empty(self.shape, np.float32)
            for z, frame in enumerate(slices):
                volume[z] = turn.forward(read_slice(frame))
            where = f"Frame {number} of {self.path}" if self.is_cine else str(self.path)
            yield finite_float32(volume, where)


def read_slice(frame: Frame) -> np.ndarray:
    """One 2D image (Y, X) as float32, scaled as its header says.

    Raises `DataError` for a file that is gone, cut short or damaged.
    """
    try:
        stored = _packed(frame) if frame.pixels.offset is None else _native(frame, frame.pixels.offset)
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as fault:  # decoders promise no error types
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise DataError(f"{frame.path} cannot be read: {reason}.", cure="Copy the folder again.") from fault
    used = _used_bits(stored, frame.pixels).astype(np.float32)
    return used * np.float32(frame.slope) + np.float32(frame.intercept)


def _native(frame: Frame, offset: int) -> np.ndarray:
    pixels, dtype = frame.pixels, np.dtype(frame.pixels.dtype)
    count = pixels.rows * pixels.columns
    with opened(frame.path, most=None, named=True) as stream:
        stream.seek(offset + frame.index * count * dtype.itemsize)
        content = stream.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise EOFError("it is cut short")
    return np.frombuffer(content, dtype).reshape(pixels.rows, pixels.columns)


def _packed(frame: Frame) -> np.ndarray:
    from pydicom.pixels import pixel_array

    with quiet_pydicom(), opened(frame.path, most=None, named=True) as stream:
        found = pixel_array(stream, index=frame.index)
    if found.shape != (frame.pixels.rows, frame.pixels.columns):
        raise ValueError(f"it unpacks to {found.shape}")
    return found


def _used_bits(stored: np.ndarray, pixels: Pixels) -> np.ndarray:
    """The bits that count: old scanners keep overlays in the others."""
    spare = stored.dtype.itemsize * 8 - pixels.bits
    if not spare or pixels.offset is None:  # decoders give whole numbers
        return stored
    return (stored << spare) >> spare
