"""Studies shared out to processes of this machine. A process that dies costs no study but its own, and that one twice.

concurrent.futures ends a whole pool with one of its processes and does not say which task that one had.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from compress.data.scan import Problem
from compress.errors import EnvironmentFault
from compress.inference.jobs import Job
from compress.inference.request import PredictRequest
from compress.inference.work import Outcome, Worker

TRIES = 2
"""So often a study may be the one at which its process dies."""


def pooled(
    request: PredictRequest, jobs: Sequence[Job], *, processes: int, threads: int
) -> Generator[tuple[int, Outcome], None, None]:
    """The outcome of every job with its index, as they come.

    threads: of each process. Raises what a worker raises that ends a run, such as a full disk, and `EnvironmentFault`
    when a process ends before it has opened the model.
    """
    todo, running = _Todo(deque(range(len(jobs)))), list[_Process]()
    try:
        running += [_Process(request, threads) for _ in range(min(processes, len(jobs)))]
        while running:
            for process in _that_spoke(running):
                had, found = process.job, process.answer()
                if found is _DEAD:
                    running[running.index(process)] = _Process(request, threads)
                    if lost := todo.died(had, process.ended()):
                        yield _lost(jobs, had, lost)
                    continue
                if isinstance(found, Exception):
                    raise found
                if not process.give(jobs, todo.next()):
                    running.remove(process)
                if had is not None:
                    yield had, found
    finally:
        for process in running:
            process.ask_to_stop()
        for process in running:
            process.process.join()


def _that_spoke(running: Sequence[_Process]) -> list[_Process]:
    ready = wait([process.connection for process in running])
    return [process for process in running if process.connection in ready]


def _lost(jobs: Sequence[Job], number: int | None, how: str) -> tuple[int, Outcome]:
    assert number is not None
    return number, Outcome(None, Problem(jobs[number].sources[0].path, how, jobs[number].study), 0.0)


_DEAD = object()
"""The answer of a process that has ended."""


@dataclass
class _Todo:
    waiting: deque[int]
    deaths: dict[int, int] = field(default_factory=dict)

    def next(self) -> int | None:
        return self.waiting.popleft() if self.waiting else None

    def died(self, job: int | None, how: str) -> str:
        """Queue the job again whose process has ended; why not, where it has been the last one too often."""
        if job is None:
            raise EnvironmentFault(f"A process of --jobs {how} before it had opened the model.", cure="Use fewer.")
        self.deaths[job] = self.deaths.get(job, 0) + 1
        if self.deaths[job] < TRIES:
            self.waiting.appendleft(job)
            return ""
        return f"The process that segmented it {how}, {TRIES} times. There may be too little memory: use fewer --jobs."


class _Process:
    """One process, and which job it has; nothing until it has opened the model."""

    def __init__(self, request: PredictRequest, threads: int) -> None:
        context = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self.job: int | None = None
        self.process: SpawnProcess = context.Process(target=_target, args=(theirs, request, threads), daemon=True)
        with _deaf_to_the_terminal(), _deaf_to_the_folder():
            self.process.start()
        theirs.close()

    def answer(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return _DEAD

    def give(self, jobs: Sequence[Job], number: int | None) -> bool:
        """Hand it the next job; without one it ends."""
        self.job = number
        with suppress(OSError):  # one that has died meanwhile is found dead by its answer
            self.connection.send(None if number is None else jobs[number])
        return number is not None

    def ask_to_stop(self) -> None:
        """By SIGTERM: what it has half-written goes again."""
        self.connection.close()
        self.process.terminate()

    def ended(self) -> str:
        """How it ended, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _serve(connection: Connection, request: PredictRequest, threads: int) -> None:
    """What runs in the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and decides
    signal.signal(signal.SIGTERM, _unwind)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        try:
            worker = Worker(request, threads=threads)
            connection.send(None)
            while (job := connection.recv()) is not None:
                connection.send(worker.do(job))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as fault:
            connection.send(fault)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; a child that is being started would show where it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _deaf_to_the_folder() -> Iterator[None]:
    """These processes, and the one that tracks them, start by `-c`: modules of the current folder would come first."""
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_SAFE) if before is None else os.environ.__setitem__(_SAFE, before)


_SAFE = "PYTHONSAFEPATH"
_target = _serve
"""What a new process runs."""


def _unwind(*_: Any) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A parent that was killed cannot say goodbye."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
