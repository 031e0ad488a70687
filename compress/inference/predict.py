"""Segment a file or a folder with one exported model: masks, one JSON report per study, and a resume.

Runs where torch is not installed. A study's masks are written whole, its report last, so a study without
a report is one that was not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.data.channels import with_all_channels
from compress.data.scan import Problem
from compress.data.sources import find_sources
from compress.errors import ConfigError
from compress.inference.dicom_out import check_dicom
from compress.inference.earlier import Extras, reports_in, settle
from compress.inference.jobs import Job, plan_jobs
from compress.inference.request import PredictRequest
from compress.inference.study_table import TABLE, is_whole, write_table
from compress.inference.work import Outcome, Worker
from compress.lock import locked
from compress.progress import SILENT, Progress, Task
from compress.registry import pick
from compress.runtime.machine import available_cores
from compress.runtime.verify import rounding_note

__all__ = ["PredictReport", "PredictRequest", "predict"]

Observer = Callable[[Job, Outcome], None]
"""Hears of every study that was computed."""


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
    unread: int = 0
    """Problems that were found before any image was segmented."""


def predict(request: PredictRequest, progress: Progress = SILENT, observers: Sequence[Observer] = ()) -> PredictReport:
    """Segment everything at `request.source`.

    Raises `DataError` when there is nothing to segment, `ModelFileError` and `ProviderError` as
    `Segmenter` does, `ConfigError` when `out` holds results that `earlier` does not allow for, and
    `EnvironmentFault` when results cannot be written. A study that cannot be segmented is no error:
    it stands among `problems`, and the others go on.
    """
    engine = pick("engine", ENGINES, request.engine)
    found = find_sources(request.source, recursive=request.recursive)
    if request.dicom_seg:
        check_dicom(found)
    worker = Worker(request, threads=_threads(request))
    found = with_all_channels(found, worker.segmenter.card.channels, Path(request.source))
    folder, jobs = plan_jobs(Path(request.out), found, source=request.source)
    wanted = Extras(request.overlays, request.dicom_seg, request.check_orientation)
    rounded = rounding_note(worker.segmenter.card, request.provider)
    notes = (*filter(None, [rounded]), *found.notes)
    report = PredictReport(folder, problems=list(found.problems), notes=notes, unread=len(found.problems))
    with locked(folder, progress=progress):
        done = settle(jobs, folder / TABLE, worker.trace, earlier=request.earlier, wanted=wanted)
        report.kept = len(done)
        todo = [job for job in jobs if job.study not in done]
        outcomes: dict[str, Outcome] = {}
        with progress.task("Segmenting", len(jobs)) as task:
            task.advance(len(done))
            with closing(engine(worker, todo, task)) as found_one:
                for number, outcome in found_one:
                    outcomes[todo[number].study] = outcome
                    for observer in observers:
                        observer(todo[number], outcome)
                    task.advance(info=todo[number].study)
        _collect(report, jobs, done, outcomes)
        if found.kind != "file":
            studies = [document for _, document in reports_in(folder) if is_whole(document)]
            write_table(folder / TABLE, studies, report.problems)
    return report


def _collect(
    report: PredictReport, jobs: Sequence[Job], done: dict[str, dict[str, Any]], outcomes: dict[str, Outcome]
) -> None:
    """Reports and problems in the order of the jobs, whichever process was faster."""
    for job in jobs:
        outcome = outcomes.get(job.study)
        document = done.get(job.study) if outcome is None else outcome.document
        if document is not None:
            report.studies.append(document)
        elif outcome is not None and outcome.problem is not None:
            report.problems.append(outcome.problem)


Outcomes = Generator[tuple[int, Outcome], None, None]


def _local(worker: Worker, jobs: Sequence[Job], task: Task) -> Outcomes:
    if worker.request.jobs == 1 or len(jobs) < 2:
        return ((number, worker.do(job, task)) for number, job in enumerate(jobs))
    from compress.inference.pool import pooled

    request = worker.request
    worker.close()
    return pooled(request, jobs, processes=request.jobs, threads=_threads(request) or 1)


def _ray(worker: Worker, jobs: Sequence[Job], task: Task) -> Outcomes:
    if not jobs:
        return (each for each in ())
    from compress.inference.on_ray import on_ray

    request = worker.request
    worker.close()
    processes = request.jobs if request.jobs > 1 else None
    return on_ray(request, jobs, processes=processes, threads=request.threads or 1)


ENGINES: dict[str, Callable[[Worker, Sequence[Job], Task], Outcomes]] = {"local": _local, "ray": _ray}


def _threads(request: PredictRequest) -> int | None:
    """Threads of each process: what was asked for, or its share of the cores; None: the session's own default."""
    if request.jobs < 1:
        raise ConfigError(f"{request.jobs} jobs; at least 1 process is needed.")
    if request.threads is not None or request.jobs == 1:
        return request.threads
    return max(1, available_cores() // request.jobs)
