"""Studies shared out to the machines of a Ray cluster: one task each, taken up again when its machine is lost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cache, partial

from compress.cluster import Lost, Needs, shared_out
from compress.data.scan import Problem
from compress.inference.jobs import Job
from compress.inference.request import PredictRequest
from compress.inference.study_table import TABLE
from compress.inference.work import Outcome, Worker


def on_ray(
    request: PredictRequest, jobs: Sequence[Job], *, processes: int | None, threads: int
) -> Generator[tuple[int, Outcome], None, None]:
    """The outcome of every job with its index, as they come.

    processes: of a cluster on this machine, where RAY_ADDRESS names no other. threads: CPUs that each task takes.
    Raises what a worker raises that ends a run, and what `shared_out` raises.
    """
    needs = Needs(threads, int(request.provider == "cuda"))
    do = partial(_do, request, threads)
    beside = jobs[0].report.with_name(TABLE)
    for number, found in shared_out(do, jobs, beside=beside, needs=needs, processes=processes):
        yield number, _lost(jobs[number], found) if isinstance(found, Lost) else found


def _lost(job: Job, lost: Lost) -> Outcome:
    why = f"The process that segmented it {lost.how}."
    return Outcome(None, Problem(job.sources[0].path, why, job.study), 0.0)


def _do(request: PredictRequest, threads: int, job: Job) -> Outcome:
    return _worker(request, threads).do(job)


@cache
def _worker(request: PredictRequest, threads: int) -> Worker:
    """The model stays open for the next task of the same process."""
    return Worker(request, threads=threads)
