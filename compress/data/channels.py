"""Images of several channels that are to be segmented: CASE_0000, CASE_0001 and so on, as nnU-Net calls them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compress.data.images import Channels
from compress.data.sources import Source, Sources
from compress.errors import DataError
from compress.outside import leads_out


def with_all_channels(found: Sources, count: int, folder: Path) -> Sources:
    """The sources of a network of `count` channels: of each image all its files, which are then no problems any more.

    folder: what the user named. Raises `DataError` for an image that is not called CASE_0000, and for links out of it.
    """
    if count == 1:
        return found
    studies = {
        study: tuple(replace(each, image=_all(each, count, folder)) for each in images)
        for study, images in found.studies.items()
    }
    used = {path for images in studies.values() for each in images for path in each.image.paths}  # pyright: ignore
    return replace(found, studies=studies, problems=tuple(p for p in found.problems if p.path not in used))


def _all(source: Source, count: int, folder: Path) -> Channels:
    image = Channels.of(source.path, count)
    root = folder if source.path.is_relative_to(folder) and folder.is_dir() else source.path.parent
    if out := [path for path in image.paths if leads_out(path, root)]:
        raise DataError(f"{out[0]} is a link that leads out of {root}.", cure="Put the file itself there.")
    return image
