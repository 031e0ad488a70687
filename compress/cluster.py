"""Work shared out to the machines of a Ray cluster; the package is asked for only where one is used."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

from compress.errors import ConfigError, EnvironmentFault

T = TypeVar("T")
R = TypeVar("R")

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Ray would report its use to its maker."""
AHEAD = 2
"""Jobs that wait for each free place, so that none of them idles."""
TRIES = 4
"""So often a job may be the one at which its process is lost: machines of a cluster come and go."""


@dataclass(frozen=True)
class Needs:
    """What one job takes of a machine while it runs."""

    cpus: int = 1
    gpus: float = 0.0
    """A part of one lets several jobs share it."""


@dataclass(frozen=True)
class Lost:
    """Instead of an answer: the job's process was lost `TRIES` times."""

    how: str


@contextmanager
def connect(processes: int | None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster that RAY_ADDRESS names, or to one of this machine for the while.

    processes: CPUs of a cluster on this machine; None: all. Raises `EnvironmentFault` when no cluster answers, and
    `ModuleNotFoundError` without Ray.
    """
    os.environ.update({key: value for key, value in _QUIET.items() if key not in os.environ})
    import ray  # pyright: ignore[reportMissingImports]

    address = os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    options: dict[str, Any] = {} if address else {"num_cpus": processes, "include_dashboard": False}
    try:
        if mine:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as fault:  # Ray raises ConnectionError, RuntimeError and types of its own
        where = f"the cluster {address} (RAY_ADDRESS)" if address else "a cluster on this machine"
        said = " ".join(str(fault).split())[:200]
        raise EnvironmentFault(f"Ray cannot use {where}: {said}", cure="Start it with `ray start --head`.") from fault
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def shared_out(
    do: Callable[[T], R], jobs: Sequence[T], *, beside: Path, needs: Needs, processes: int | None = None
) -> Generator[tuple[int, R | Lost], None, None]:
    """What `do` returns for every job, with the job's index, as they come; a job whose process is lost begins again.

    `do` and the jobs travel to the machines and must be picklable. beside: a file of the results; every machine must
    see its folder. processes: CPUs of a cluster on this machine, where RAY_ADDRESS names no other. Raises what `do`
    raises, `ConfigError` where a machine does not see the folder or the cluster has no machine that is large enough,
    and what `connect` raises.
    """
    with connect(processes) as ray, _token(beside) as token:
        places = _places(ray.cluster_resources(), needs)
        task = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, max_retries=TRIES - 1)(_there)
        waiting = iter(range(len(jobs)))
        running = {}
        while True:
            for number in waiting:
                running[task.remote(do, jobs[number], Path.cwd(), token.name)] = number
                if len(running) >= AHEAD * places:
                    break
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            try:
                found = ray.get(done)
            except ray.exceptions.RayError as fault:
                found = Lost(f"was lost {TRIES} times ({type(fault).__name__})")
            if isinstance(found, Exception):
                raise found
            yield number, found


def _places(has: dict[str, float], needs: Needs) -> int:
    """How many jobs the cluster runs at once. Ray itself would wait for ever for what it does not have."""
    cpus, gpus = has.get("CPU", 0.0), has.get("GPU", 0.0)
    if needs.cpus > cpus or needs.gpus > gpus:
        raise ConfigError(
            f"Each task asks for {needs.cpus} CPUs and {needs.gpus:g} GPUs; the cluster has {cpus:g} and {gpus:g}.",
            cure="Ask for less, or for a larger cluster (RAY_ADDRESS).",
        )
    by_cpus = int(cpus / needs.cpus)
    return max(1, min(by_cpus, int(gpus / needs.gpus)) if needs.gpus else by_cpus)


def _token(beside: Path) -> Any:
    """A file that looks like a half-written `beside`: the next command clears it away where this one is killed."""
    folder = beside.parent.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return NamedTemporaryFile(prefix=f".{beside.stem}.", suffix=f".partial{beside.suffix}", dir=folder)


def _there(do: Callable[[T], R], job: T, here: Path, token: str) -> R | Exception:
    """What runs on some machine of the cluster; errors come back as values, without Ray's own words around them."""
    try:
        os.chdir(here)
        if not Path(token).exists():
            raise FileNotFoundError(token)
    except OSError:
        return ConfigError(
            f"A machine of the cluster does not see {Path(token).parent}.",
            cure="Put all that is read and written into a folder that all machines share under one path.",
        )
    try:
        return do(job)
    except Exception as fault:
        return fault
