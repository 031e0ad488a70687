"""Studies shared out to the machines of a Ray cluster: one task each, taken up again when its machine is lost."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from compress.cluster import connect
from compress.data.scan import Problem
from compress.errors import ConfigError
from compress.inference.jobs import Job
from compress.inference.request import PredictRequest
from compress.inference.work import Outcome, Worker

AHEAD = 2
"""Tasks that wait for each free place, so that none of them idles."""
TRIES = 4
"""So often a study may be the one at which its process is lost: machines of a cluster come and go."""


def on_ray(
    request: PredictRequest, jobs: Sequence[Job], *, processes: int | None, threads: int
) -> Generator[tuple[int, Outcome], None, None]:
    """The outcome of every job with its index, as they come.

    processes: of a cluster on this machine, where RAY_ADDRESS names no other. threads: CPUs that each task takes.
    Raises what a worker raises that ends a run, and `ConfigError` where a machine does not see the results' folder.
    """
    with connect(processes) as ray, _token(jobs) as token:
        task = ray.remote(num_cpus=threads, num_gpus=int(request.provider == "cuda"), max_retries=TRIES - 1)(_do)
        places = max(1, int(ray.cluster_resources().get("CPU", 1) / threads))
        waiting = iter(range(len(jobs)))
        running = {}
        while True:
            for number in waiting:
                running[task.remote(request, jobs[number], threads, Path.cwd(), token.name)] = number
                if len(running) >= AHEAD * places:
                    break
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            try:
                found = ray.get(done)
            except ray.exceptions.RayError as fault:
                found = _lost(jobs[number], fault)
            if isinstance(found, Exception):
                raise found
            yield number, found


def _token(jobs: Sequence[Job]) -> Any:
    """A file beside the results; its name is that of a half-written summary.csv, which the next run clears away."""
    return NamedTemporaryFile(prefix=".summary.", suffix=".partial.csv", dir=jobs[0].report.parent.absolute())


def _lost(job: Job, fault: Exception) -> Outcome:
    why = f"The process that segmented it was lost {TRIES} times ({type(fault).__name__})."
    return Outcome(None, Problem(job.sources[0].path, why, job.study), 0.0)


def _do(request: PredictRequest, job: Job, threads: int, here: Path, token: str) -> Outcome | Exception:
    """What runs on some machine of the cluster; errors come back as values, without Ray's own words around them."""
    try:
        os.chdir(here)
        if not Path(token).exists():
            raise FileNotFoundError(token)
    except OSError:
        return ConfigError(
            f"A machine of the cluster does not see {Path(token).parent}.",
            cure="Put model, images and results into a folder that all machines share under one path.",
        )
    try:
        return _worker(request, threads).do(job)
    except Exception as fault:
        return fault


@cache
def _worker(request: PredictRequest, threads: int) -> Worker:
    """The model stays open for the next task of the same process."""
    return Worker(request, threads=threads)
