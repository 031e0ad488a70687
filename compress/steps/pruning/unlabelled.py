"""Images without masks that a pruned network learns from: its teacher answers for them (`distill_unlabelled`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.channels import with_all_channels
from compress.data.dataset import spread
from compress.data.rules import Rules
from compress.data.sources import Source, find_sources
from compress.data.volume import Case, Volume
from compress.errors import ConfigError, DataError
from compress.files import digest_json
from compress.progress import Progress
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class Unlabelled:
    """Images whose answers are a teacher's alone."""

    sources: tuple[Source, ...]
    frames: int
    """Of each image at most, evenly spread over its cycle."""
    rules: Rules
    digest: str
    """Of the files and of what is taken from them."""

    def images(self, progress: Progress) -> np.ndarray:
        """(N, H, W) or (N, channels, H, W) float32: their slices on the network's grid.

        Raises `DataError` for a file that cannot be read.
        """
        found = []
        with progress.task("Preparing unlabelled images", len(self.sources)) as task:
            for source in self.sources:
                found += self._slices(source)
                task.advance(info=source.study)
        return np.concatenate(found)

    def _slices(self, source: Source) -> list[np.ndarray]:
        image = source.image.open()
        case = Case(source.study, source.phase, source.path, None)
        wanted = set(spread(image.frames, self.frames).tolist())
        return [
            self.rules.forward(Volume(case, voxels, None, image.spacing, image.affine)).images
            for number, voxels in enumerate(image.volumes())
            if number in wanted
        ]


def find_unlabelled(ws: Workspace, folder: str, frames: int) -> Unlabelled:
    """The cines (`*_4d.nii.gz`) of a data set in ACDC's layout, of another folder what `predict` would read there.

    Patients that the network is judged on are left out, by the names of their files.

    Raises `ConfigError` for a folder of the other kind (phantom beside real patients), `DataError` where an image
    cannot be used or none is left.
    """
    found = _sources(Path(folder), ws.channels)
    sources = tuple(source for source in found if not _is_of(source.study, ws.split.val))
    if left_out := sorted({source.study for source in found} - {source.study for source in sources}):
        ws.progress.note(f"{folder}: left out, for they are validation patients: {', '.join(left_out)}.")
    if not sources:
        raise DataError(f"{folder} holds no image of another patient than those of validation.")
    if any(source.phantom != ws.training.phantom for source in sources):
        raise ConfigError(
            f"{folder} and the training data are not of one kind: one is a phantom, the other is not.",
            cure="Let pruning.distill_unlabelled name images of the kind that the network is trained on.",
        )
    files = [[source.study, source.path.name, source.image.digest()] for source in sources]
    return Unlabelled(sources, frames, ws.rules, digest_json([files, frames, ws.rules.to_json()]))


def _sources(folder: Path, channels: int) -> list[Source]:
    cines = sorted(folder.glob("*/*_4d.nii.gz"))
    found = [with_all_channels(find_sources(path), channels, folder) for path in cines or [folder]]
    for problem in (problem for each in found for problem in each.problems):
        raise DataError(f"{problem.path}: {problem.message}", cure="Take it out of pruning.distill_unlabelled.")
    return [source for each in found for group in each.studies.values() for source in group]


def _is_of(study: str, patients: Sequence[str]) -> bool:
    """Whether a study's name is a patient's, or begins with it as in `patient001_4d`."""
    return any(re.fullmatch(rf"{re.escape(each)}([^0-9a-z].*)?", study, re.IGNORECASE) for each in patients)
