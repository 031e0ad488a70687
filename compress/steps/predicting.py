"""Segment a file or a folder with one exported model: masks, one JSON report per study, and a resume.

Runs where torch is not installed. A study's masks are written whole, its report last, so a study without
a report is one that was not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compress.data.frames import open_image
from compress.data.label_file import ENDINGS, write_labels
from compress.data.scan import Problem
from compress.data.sources import Source, Sources, find_sources
from compress.errors import ConfigError, DataError, InputError
from compress.files import digest_file, read_json, remove_partials, write_json
from compress.progress import SILENT, Progress, Task
from compress.runtime.guards import Concern
from compress.runtime.segmenter import Segmenter
from compress.steps.study_report import SCHEMA, Segmented, describe_study, trace_of
from compress.steps.study_table import is_whole, write_table

Earlier = Literal["refuse", "resume", "restart"]
"""What to do about results that are already there."""


@dataclass(frozen=True)
class PredictRequest:
    """What to segment, with what, and where the results go."""

    model: Path
    source: Path
    out: Path
    """A folder; for a single image it may also name the mask file (.nii.gz or .nii)."""
    provider: str = "cpu"
    threads: int | None = None
    batch_size: int | None = None
    """Slices at a time; None: what suits the provider."""
    force: bool = False
    """Segment images that look unlike those of the training."""
    overlays: bool = False
    earlier: Earlier = "refuse"


@dataclass
class PredictReport:
    """What came of it, study by study."""

    out: Path
    """The folder that holds the results."""
    studies: list[dict[str, Any]] = field(default_factory=list)
    """The report of every study that has one, new and earlier ones alike."""
    problems: list[Problem] = field(default_factory=list)
    """What could not be segmented, and why."""
    kept: int = 0
    """Studies that an earlier run had finished."""


@dataclass(frozen=True)
class _Job:
    """One study and where its results go."""

    study: str
    sources: tuple[Source, ...]
    masks: tuple[Path, ...]
    report: Path
    overlay: Path


@dataclass(frozen=True)
class _Batch:
    """What every study is segmented with."""

    segmenter: Segmenter
    force: bool
    trace: dict[str, Any]
    draw: Callable[[Path, Sequence[Segmented], dict[str, Any]], Path] | None


def predict(request: PredictRequest, progress: Progress = SILENT) -> PredictReport:
    """Segment everything at `request.source`.

    Raises `DataError` when there is nothing to segment, `ModelFileError` and `ProviderError` as
    `Segmenter` does, `ConfigError` when `out` holds results that `earlier` does not allow for, and
    `EnvironmentFault` when results cannot be written. A study that cannot be segmented is no error:
    it stands among `problems`, and the others go on.
    """
    draw = _overlay_drawer() if request.overlays else None
    found = find_sources(request.source)
    folder, jobs = _plan_outputs(request, found)
    segmenter = Segmenter(
        request.model, provider=request.provider, threads=request.threads, batch_size=request.batch_size
    )
    batch = _Batch(segmenter, request.force, trace_of(segmenter, force=request.force), draw)
    done = _finished(jobs, batch.trace, request.earlier)
    report = PredictReport(folder, problems=list(found.problems), kept=len(done))
    with progress.task("Segmenting", len(jobs)) as task:
        for job in jobs:
            if job.study in done:
                report.studies.append(done[job.study])
            else:
                _do(job, batch, report, task)
            task.advance(info=job.study)
    if len(jobs) > 1:
        write_table(folder / "summary.csv", report.studies, report.problems)
    return report


def _do(job: _Job, batch: _Batch, report: PredictReport, task: Task) -> None:
    """Segment one study and write its results; nothing of it is written when an image cannot be segmented."""
    try:
        images = [_segment(source, batch.segmenter, batch.force, task) for source in job.sources]
    except DataError as fault:
        report.problems.append(Problem(job.sources[0].path, str(fault)))
        return
    with _all_or_nothing() as written:
        masks = []
        for image, path in zip(images, job.masks, strict=True):
            written.append(write_labels(path, image.mask, like=image.file))
            masks.append((path, digest_file(path)))
        document = describe_study(images, masks, segmenter=batch.segmenter, trace=batch.trace)
        if batch.draw is not None:
            written.append(batch.draw(job.overlay, images, document))
        write_json(job.report, document)
    report.studies.append(document)


@contextmanager
def _all_or_nothing() -> Iterator[list[Path]]:
    """Yield a list for the files that are written; they go again when the block fails, on a full disk for example."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _segment(source: Source, segmenter: Segmenter, force: bool, task: Task) -> Segmented:
    """All frames of one image; one frame of voxels is held at a time."""
    file = open_image(source.path)
    labels = np.empty((file.frames, *file.shape), np.uint8)
    concerns: dict[Concern, None] = {}
    for number, found in enumerate(segmenter.segment_frames(file, force=force)):
        labels[number] = found.mask
        concerns |= dict.fromkeys(found.concerns)
        where = f" frame {number + 1} of {file.frames}" if file.is_cine else ""
        task.advance(0, info=source.study + where)
    return Segmented(source, file, digest_file(source.path), labels, tuple(concerns))


def _plan_outputs(request: PredictRequest, found: Sources) -> tuple[Path, list[_Job]]:
    """`_plan`, with no output on top of an image. Raises `ConfigError`, also for a path that cannot exist."""
    try:
        folder, jobs = _plan(request, found.studies)
        _refuse_overwriting(jobs, [problem.path for problem in found.problems])
    except OSError as fault:
        raise ConfigError(f"Cannot write {request.out}: {fault.strerror or fault}.", cure="Name another.") from fault
    return folder, jobs


def _plan(request: PredictRequest, studies: dict[str, tuple[Source, ...]]) -> tuple[Path, list[_Job]]:
    """The output folder and one job per study. Raises `ConfigError` when a single file is named for several images."""
    out = Path(request.out)
    if out.name.endswith(ENDINGS) and not out.is_dir():
        sources = [source for study in studies.values() for source in study]
        if len(sources) != 1:
            raise ConfigError(
                f"{out} names one file, but {request.source} holds {len(sources)} images.", cure="Name a folder."
            )
        return out.parent, [_job(sources[0].study, (sources[0],), out.parent, (out,), stem=_stem(out))]
    return out, [
        _job(name, sources, out, tuple(out / source.output for source in sources), stem=name)
        for name, sources in studies.items()
    ]


def _job(study: str, sources: tuple[Source, ...], folder: Path, masks: tuple[Path, ...], *, stem: str) -> _Job:
    return _Job(study, sources, masks, folder / f"{stem}.json", folder / f"{stem}.png")


def _refuse_overwriting(jobs: Sequence[_Job], others: Sequence[Path]) -> None:
    """`ConfigError` for a mask that is one of the images, under whatever name; `others` are images at fault."""
    sources = [source.path for job in jobs for source in job.sources]
    inputs = {_identity(path): path for path in (*others, *sources) if path.exists()}
    for job in jobs:
        for source, mask in zip(job.sources, job.masks, strict=True):
            image = inputs.get(_identity(mask)) if mask.exists() else None
            if image is not None:
                whose = "its image" if image == source.path else f"the image {image}"
                raise ConfigError(f"The mask {mask} would overwrite {whose}.", cure="Choose another output folder.")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _finished(jobs: Sequence[_Job], trace: dict[str, Any], earlier: Earlier) -> dict[str, dict[str, Any]]:
    """The reports of studies that need no work; `ConfigError` when results may not be touched or mixed."""
    for job in jobs:
        remove_partials((*job.masks, job.report, job.overlay))
    if earlier == "restart":
        return {}
    there = [path for job in jobs for path in (job.report, *job.masks) if path.exists()]
    if there and earlier == "refuse":
        raise ConfigError(
            f"{there[0].parent} holds earlier results ({there[0].name}).",
            cure="Pass --resume to keep what is finished, --restart to replace it, or name another folder.",
        )
    return {job.study: document for job in jobs if (document := _reusable(job, trace)) is not None}


def _reusable(job: _Job, trace: dict[str, Any]) -> dict[str, Any] | None:
    """The study's report when its images and masks are those that it speaks of."""
    if not job.report.is_file():
        return None
    try:
        document = read_json(job.report)
        told = [(image["sha256"], image["mask_sha256"]) for image in document["images"]]
        theirs = document["trace"]
    except (InputError, KeyError, TypeError, ValueError, RecursionError):
        return None
    _refuse_mixture(job, theirs, trace)
    if document.get("schema") != SCHEMA or not all(path.is_file() for path in job.masks):
        return None
    now = [(digest_file(s.path), digest_file(m)) for s, m in zip(job.sources, job.masks, strict=True)]
    return document if now == told and is_whole(document) else None


def _refuse_mixture(job: _Job, theirs: Any, trace: dict[str, Any]) -> None:
    """One folder holds the results of one model on one provider, or a reader would compare what differs."""
    for key in ("model", "provider", "force", "versions"):
        if not isinstance(theirs, dict) or theirs.get(key) != trace[key]:
            raise ConfigError(
                f"{job.report} was made with another {key}.",
                cure="Name another folder, or pass --restart to replace all results.",
            )


def _overlay_drawer() -> Any:
    """What draws a study's overlay; imported first, so that a missing matplotlib is told before any work."""
    from compress.steps.study_overlay import draw_overlay

    return draw_overlay
