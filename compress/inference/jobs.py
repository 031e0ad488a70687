"""Where the results of `predict` go: one job per study, and no output on top of what is not ours to replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.data.scan import image_stem
from compress.data.sources import Source, Sources
from compress.data.volume import NIFTI_ENDINGS, PHASES
from compress.errors import ConfigError

_OTHER_FILES = {".mha", ".mhd", ".nrrd", ".img", ".hdr", ".dcm", ".png", ".json", ".csv", ".gz"}
"""An output with such a name was meant as a file, which is no NIfTI."""


@dataclass(frozen=True)
class Job:
    """One study and where its results go."""

    study: str
    sources: tuple[Source, ...]
    masks: tuple[Path, ...]
    """One per source."""
    report: Path
    overlay: Path

    @property
    def targets(self) -> tuple[Path, ...]:
        """All that may be written for the study, the report last."""
        return (*self.masks, self.overlay, *self.segmentations.values(), self.report)

    @property
    def segmentations(self) -> dict[str, Path]:
        """Where DICOM Segmentations go, by phase; "" where there is one frame of an unknown one."""
        stem = self.report.name.removesuffix(".json")
        return {phase: self.report.with_name(f"{stem}{'_' * bool(phase)}{phase}.dcm") for phase in ("", *PHASES)}


def plan_jobs(out: Path, found: Sources, *, source: Path) -> tuple[Path, list[Job]]:
    """The output folder and one job per study of what was `found` at `source`.

    Raises `ConfigError` for a file name that should hold many masks or is no NIfTI's, for an output on top of an
    image, and for a path that cannot exist.
    """
    try:
        folder, jobs = _plan(out, found, source)
        _refuse_overwriting(jobs, [problem.path for problem in found.problems])
        _refuse_image_folder(folder, found)
    except OSError as fault:
        raise ConfigError(f"Cannot write {out}: {fault.strerror or fault}.", cure="Name another.") from fault
    return folder, jobs


def _plan(out: Path, found: Sources, source: Path) -> tuple[Path, list[Job]]:
    images = [image for study in found.studies.values() for image in study]
    named = out.name.endswith(NIFTI_ENDINGS) and not out.is_dir()
    if named and len(images) != 1:
        raise ConfigError(f"{out} names one file, but {source} holds {len(images)} images.", cure="Name a folder.")
    if found.kind == "file" and not named and not out.is_dir() and out.suffix.lower() in _OTHER_FILES:
        raise ConfigError(f"{out} is no mask's name.", cure="End it in .nii.gz or .nii, or name a folder.")
    if named or found.kind == "file":  # other images of the same study may have reports of their own there
        (image,) = images
        mask = out if named else out / image.output
        return mask.parent, [_job(image.study, (image,), (mask,), mask.parent / _stem(mask))]
    return out, [
        _job(name, group, tuple(out / image.output for image in group), out / name)
        for name, group in found.studies.items()
    ]


def _job(study: str, sources: tuple[Source, ...], masks: tuple[Path, ...], stem: Path) -> Job:
    return Job(study, sources, masks, stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.png"))


def _refuse_overwriting(jobs: Sequence[Job], others: Sequence[Path]) -> None:
    """`ConfigError` for a mask that is one of the images, under whatever name; `others` are images at fault."""
    sources = [source.path for job in jobs for source in job.sources]
    inputs = {_identity(path): path for path in (*others, *sources) if path.exists()}
    for job in jobs:
        for source, mask in zip(job.sources, job.masks, strict=True):
            image = inputs.get(_identity(mask)) if mask.exists() else None
            if image is not None:
                whose = "its image" if image == source.path else f"the image {image}"
                raise ConfigError(f"The mask {mask} would overwrite {whose}.", cure="Choose another output folder.")


def _refuse_image_folder(folder: Path, found: Sources) -> None:
    """Masks among the images of a folder would be taken for images by the next run."""
    if found.kind in ("file", "acdc") or not folder.is_dir():
        return
    paths = {image.path for study in found.studies.values() for image in study}
    images = {path if path.is_dir() else path.parent for path in paths}
    if any(_identity(folder) == _identity(place) for place in images):
        raise ConfigError(f"{folder} holds the images; masks would lie among them.", cure="Name another folder.")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _stem(path: Path) -> str:
    return image_stem(path) or path.name
