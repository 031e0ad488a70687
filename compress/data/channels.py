"""Images of several channels: nnU-Net keeps each in a file of its own, CASE_0000, CASE_0001 and so on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.data.frames import ImageFile, open_image
from compress.data.sources import Source, Sources
from compress.data.volume import SIZES_AGREE
from compress.errors import DataError
from compress.files import digest_file

_FIRST = re.compile(r"(?P<case>.+)_0000(?P<ending>\.(nii(\.gz)?|mha|nrrd|hdr))", re.IGNORECASE)


@dataclass(frozen=True)
class Channels:
    """Several files on one grid."""

    paths: tuple[Path, ...]
    """In the order of the network's channels; the first gives header and name."""

    def open(self) -> ImageFile:
        """One image whose volumes are (C, Z, Y, X); `DataError` for files that are missing or on other grids."""
        first, *others = (open_image(path) for path in self.paths)
        for other in others:
            same = other.shape == first.shape and other.frames == first.frames
            if not same or not np.allclose(other.spacing, first.spacing, rtol=SIZES_AGREE, atol=0):
                raise DataError(f"{other.path} does not lie on the grid of {first.path}.")
        known = (first.path, first.shape, first.frames, first.spacing, first.affine, first.header)
        return _Stacked(*known, (first, *others))

    def digest(self) -> str:
        """The digests of all files; raises `InputError`."""
        return "+".join(digest_file(path) for path in self.paths)


@dataclass(frozen=True, eq=False)
class _Stacked(ImageFile):
    files: Sequence[ImageFile]

    def volumes(self) -> Iterator[np.ndarray]:
        """Each frame as float32 (C, Z, Y, X)."""
        for frames in zip(*(file.volumes() for file in self.files), strict=True):
            yield np.stack(frames)


def with_all_channels(found: Sources, count: int) -> Sources:
    """The sources of a network of `count` channels: of each image all its files, which are then no problems any more.

    Raises `DataError` for an image that is not called CASE_0000.
    """
    if count == 1:
        return found
    studies = {
        study: tuple(replace(each, image=Channels(_paths(each, count))) for each in images)
        for study, images in found.studies.items()
    }
    used = {path for images in studies.values() for each in images for path in each.image.paths}  # pyright: ignore
    return replace(found, studies=studies, problems=tuple(p for p in found.problems if p.path not in used))


def _paths(source: Source, count: int) -> tuple[Path, ...]:
    named = _FIRST.fullmatch(source.path.name)
    if named is None:
        raise DataError(f"{source.path}: the model takes {count} channels.", cure="Call them CASE_0000, CASE_0001, ...")
    names = (f"{named['case']}_{channel:04d}{named['ending']}" for channel in range(count))
    return tuple(source.path.with_name(name) for name in names)
