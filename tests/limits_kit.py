"""Limits of time and memory around what strangers' files are given to."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

GIB = 2**20
"""In the unit of `ru_maxrss` on Linux."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def within(seconds: int = 20, *, memory: int = GIB) -> Iterator[None]:
    """No file of a megabyte may take more than a gigabyte, or hang; a slow machine has four times the 5 s."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with no_longer_than(seconds):
        yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < memory
