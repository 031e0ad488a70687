"""Segment a file or a folder with one exported model: masks, one JSON report per study, and a resume.

Runs where torch is not installed. A study's masks are written whole, its report last, so a study without
a report is one that was not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.label_file import write_labels
from compress.data.scan import Problem
from compress.data.sources import Source, find_sources
from compress.errors import CardioCompressError, DataError
from compress.files import digest_file, write_json
from compress.inference.dicom_out import check_dicom, write_segmentations
from compress.inference.earlier import Earlier, Extras, reports_in, settle
from compress.inference.jobs import Job, plan_jobs
from compress.inference.study_report import Segmented, describe_study, trace_of
from compress.inference.study_table import TABLE, is_whole, write_table
from compress.lock import locked
from compress.progress import SILENT, Progress, Task
from compress.runtime.concerns import Concern
from compress.runtime.segmenter import Segmenter

_TOLD = 200
"""Characters of a fault that nobody foresaw."""


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
    dicom_seg: bool = False
    """Also write the masks of ED and ES as DICOM Segmentations; the sources must be DICOM."""


@dataclass
class PredictReport:
    """What came of it, study by study."""

    out: Path
    """The folder that holds the results."""
    studies: list[dict[str, Any]] = field(default_factory=list)
    """The report of every study that has one, new and earlier ones alike."""
    problems: list[Problem] = field(default_factory=list)
    """What could not be segmented, and why."""
    notes: tuple[str, ...] = ()
    """What was left out on purpose, and what else a person should know."""
    kept: int = 0
    """Studies that an earlier run had finished."""


@dataclass(frozen=True)
class _Batch:
    """What every study is segmented with."""

    segmenter: Segmenter
    force: bool
    trace: dict[str, Any]
    draw: Callable[[Path, Sequence[Segmented], dict[str, Any]], Path] | None
    dicom_seg: bool


def predict(request: PredictRequest, progress: Progress = SILENT) -> PredictReport:
    """Segment everything at `request.source`.

    Raises `DataError` when there is nothing to segment, `ModelFileError` and `ProviderError` as
    `Segmenter` does, `ConfigError` when `out` holds results that `earlier` does not allow for, and
    `EnvironmentFault` when results cannot be written. A study that cannot be segmented is no error:
    it stands among `problems`, and the others go on.
    """
    draw = _overlay_drawer() if request.overlays else None
    found = find_sources(request.source)
    if request.dicom_seg:
        check_dicom(found)
    folder, jobs = plan_jobs(Path(request.out), found, source=request.source)
    segmenter = Segmenter(
        request.model, provider=request.provider, threads=request.threads, batch_size=request.batch_size
    )
    batch = _Batch(segmenter, request.force, trace_of(segmenter, force=request.force), draw, request.dicom_seg)
    wanted = Extras(overlays=request.overlays, dicom_seg=request.dicom_seg)
    report = PredictReport(folder, problems=list(found.problems), notes=found.notes)
    with locked(folder, progress=progress):
        done = settle(jobs, folder / TABLE, batch.trace, earlier=request.earlier, wanted=wanted)
        report.kept = len(done)
        _do_all(jobs, done, batch, report, progress)
        if found.kind != "file":
            studies = [document for _, document in reports_in(folder) if is_whole(document)]
            write_table(folder / TABLE, studies, report.problems)
    return report


def _do_all(
    jobs: Sequence[Job], done: dict[str, dict[str, Any]], batch: _Batch, report: PredictReport, progress: Progress
) -> None:
    with progress.task("Segmenting", len(jobs)) as task:
        for job in jobs:
            if job.study in done:
                report.studies.append(done[job.study])
            else:
                _do(job, batch, report, task)
            task.advance(info=job.study)


def _do(job: Job, batch: _Batch, report: PredictReport, task: Task) -> None:
    """Segment one study and write its results; nothing of it is written when an image cannot be segmented.

    Whatever fails of a study is its own line, memory included: only what would fail for every other one is raised.
    """
    try:
        report.studies.append(_done(job, batch, task))
    except DataError as fault:
        told = str(fault)
    except MemoryError:
        told = "There is not enough memory to segment it."
    except (CardioCompressError, OSError):  # the model or the disk
        raise
    except Exception as fault:
        told = f"It cannot be segmented ({' '.join(f'{type(fault).__name__}: {fault}'.split())[:_TOLD]})."
    else:
        return
    report.problems.append(Problem(job.sources[0].path, told, job.study))


def _done(job: Job, batch: _Batch, task: Task) -> dict[str, Any]:
    """The report of one study, which is written."""
    images = [_segment(source, batch.segmenter, batch.force, task) for source in job.sources]
    with _all_or_nothing() as written:
        masks = []
        for image, path in zip(images, job.masks, strict=True):
            written.append(write_labels(path, image.mask, like=image.file))
            masks.append((path, digest_file(path)))
        document = describe_study(images, masks, segmenter=batch.segmenter, trace=batch.trace)
        if batch.draw is not None:
            written.append(batch.draw(job.overlay, images, document))
        if batch.dicom_seg:
            written += write_segmentations(job, images, document)
        write_json(job.report, document)
    return document


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
    file = source.image.open()
    labels = np.empty((file.frames, *file.shape), np.uint8)
    concerns: dict[Concern, None] = {}
    for number, found in enumerate(segmenter.segment_frames(file, force=force)):
        labels[number] = found.mask
        concerns |= dict.fromkeys(found.concerns)
        where = f" frame {number + 1} of {file.frames}" if file.is_cine else ""
        task.advance(0, info=source.study + where)
    return Segmented(source, file, file.digest or _digest(source), labels, tuple(concerns))


def _digest(source: Source) -> str:
    try:
        return source.image.digest()
    except OSError as fault:
        raise DataError(
            f"{source.path} cannot be read: {fault.strerror or fault}.", cure="Check its permissions."
        ) from fault


def _overlay_drawer() -> Any:
    """What draws a study's overlay; imported first, so that a missing matplotlib is told before any work."""
    from compress.inference.study_overlay import draw_overlay

    return draw_overlay
