"""Opening the image that a case names, whatever it lies in: a NIfTI file, one frame of a cine, a stack of DICOM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.frames import ImageFile, open_image
from compress.data.itk_file import digest_itk, is_itk
from compress.data.nifti import NiftiArray, read_image, read_mask
from compress.data.volume import Case, Readable
from compress.errors import DataError
from compress.files import digest_file


def digest_image(path: Path) -> str:
    """SHA-256 of an image file and of what belongs to it; raises `InputError`."""
    return digest_itk(path) if is_itk(path) else digest_file(path)


@dataclass(frozen=True)
class WholeFile:
    """One file with one image."""

    path: Path

    def open(self) -> ImageFile:
        """The image; raises `DataError` as `open_image` does."""
        return open_image(self.path)

    def digest(self) -> str:
        """SHA-256 of the file; raises `InputError`."""
        return digest_image(self.path)


@dataclass(frozen=True)
class FrameOf:
    """One frame of a cine, as a 3D image."""

    path: Path
    index: int
    """From 0."""

    def open(self) -> ImageFile:
        """The frame; raises `DataError` as `open_image` does, and for a cine that is shorter."""
        file = open_image(self.path)
        if not 0 <= self.index < file.frames:
            raise DataError(f"{self.path} has {file.frames} frames; frame {self.index + 1} was asked for.")
        header = file.header.copy()
        header.set_data_shape(file.shape[::-1])
        return _OneFrame(file.path, file.shape, 1, file.spacing, file.affine, header, file, self.index)

    def digest(self) -> str:
        """The frame's number with the file's SHA-256; raises `InputError`."""
        return f"{digest_image(self.path)}#{self.index + 1}"


@dataclass(frozen=True, eq=False)
class _OneFrame(ImageFile):
    cine: ImageFile
    index: int

    @property
    def digest(self) -> str:
        """As `FrameOf.digest`."""
        return f"{self.cine.digest}#{self.index + 1}" if self.cine.digest else ""

    def volumes(self) -> Iterator[np.ndarray]:
        """The one frame (Z, Y, X); those before it are read and let go."""
        volumes: Any = self.cine.volumes()
        for number, volume in enumerate(volumes):
            if number == self.index:
                volumes.close()  # the rest of the file is hashed now
                yield volume
                return


def image_of(case: Case) -> Readable:
    """Where the case's image lies."""
    return case.image or WholeFile(case.image_path)


def mask_of(case: Case) -> Readable | None:
    """Where the case's mask lies, None without one."""
    return case.mask or (WholeFile(case.label_path) if case.label_path is not None else None)


def read_case_image(case: Case) -> NiftiArray:
    """The case's 3D image as float32 (Z, Y, X); raises `DataError` as `read_image` does."""
    return read_image(image_of(case).open())


def read_case_mask(case: Case) -> NiftiArray:
    """The case's label map as uint8 (Z, Y, X); raises `DataError` as `read_mask` does, and without a mask."""
    mask = mask_of(case)
    if mask is None:
        raise DataError(f"{case.image_path} has no mask.")
    return read_mask(mask.open())


def digests_of(case: Case) -> list[tuple[str, str]]:
    """File name and digest of the case's image and, where it has one, of its mask; raises `InputError`."""
    parts = [(case.image_path, image_of(case)), (case.label_path or case.image_path, mask_of(case))]
    return [(path.name, part.digest()) for path, part in parts if part is not None]
