"""Opening the image that a case names, whatever it lies in: a NIfTI file, one frame of a cine, a file for each
channel, a stack of DICOM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from compress.data.frames import ImageFile, open_image
from compress.data.itk_file import digest_itk, is_itk
from compress.data.nifti import NiftiArray, read_image, read_mask
from compress.data.volume import SIZES_AGREE, Case, Readable
from compress.errors import DataError
from compress.files import digest_file

_FIRST = re.compile(r"(?P<case>.+)_0000(?P<ending>\.(nii(\.gz)?|mha|nrrd|hdr))", re.IGNORECASE)


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


@dataclass(frozen=True)
class Channels:
    """Several files on one grid, which nnU-Net calls CASE_0000, CASE_0001 and so on."""

    paths: tuple[Path, ...]
    """In the order of the network's channels; the first gives header and name."""

    @classmethod
    def of(cls, first: Path, count: int) -> Channels:
        """All `count` files of the image whose first is at `first`; `DataError` where that is not called CASE_0000."""
        named = _FIRST.fullmatch(first.name)
        if named is None:
            raise DataError(f"{first}: the model takes {count} channels.", cure="Call them CASE_0000, CASE_0001, ...")
        names = (f"{named['case']}_{channel:04d}{named['ending']}" for channel in range(count))
        return cls(tuple(first.with_name(name) for name in names))

    def open(self) -> ImageFile:
        """One image whose volumes are (C, Z, Y, X); `DataError` for files that are missing or on other grids."""
        first, *others = (open_image(path) for path in self.paths)
        for other in others:
            same = (other.shape, other.frames) == (first.shape, first.frames)
            turned = nib.aff2axcodes(other.affine) != nib.aff2axcodes(first.affine)
            if not same or turned or not np.allclose(other.spacing, first.spacing, rtol=SIZES_AGREE, atol=0):
                raise DataError(f"{other.path} does not lie on the grid of {first.path}.")
        known = (first.path, first.shape, first.frames, first.spacing, first.affine, first.header)
        return _Stacked(*known, (first, *others))

    def digest(self) -> str:
        """The digests of all files; raises `InputError`."""
        return "+".join(digest_image(path) for path in self.paths)


@dataclass(frozen=True, eq=False)
class _Stacked(ImageFile):
    files: Sequence[ImageFile]

    @property
    def digest(self) -> str:
        """As `Channels.digest`, of the bytes that were read."""
        return "+".join(found) if all(found := [file.digest for file in self.files]) else ""

    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as float32 (C, Z, Y, X)."""
        for frames in zip(*(file.volumes() for file in self.files), strict=True):
            yield np.stack(frames)


def image_of(case: Case) -> Readable:
    """Where the case's image lies."""
    return case.image or WholeFile(case.image_path)


def image_paths(case: Case) -> tuple[Path, ...]:
    """The files of the case's image, one for each channel."""
    return case.image.paths if isinstance(case.image, Channels) else (case.image_path,)


def mask_of(case: Case) -> Readable | None:
    """Where the case's mask lies, None without one."""
    return case.mask or (WholeFile(case.label_path) if case.label_path is not None else None)


def read_case_image(case: Case) -> NiftiArray:
    """The case's 3D image as float32 (Z, Y, X), of several channels (C, Z, Y, X); raises as `read_image` does."""
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
