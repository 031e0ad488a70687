"""Limits of time and memory around what strangers' files are given to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from compress.bench.peak import PeakMemory

GIB = 2**30


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
    peak = PeakMemory()
    with no_longer_than(seconds):
        yield
    taken = peak.bytes  # None where the machine does not tell
    assert taken is None or taken[1] < memory, f"{taken[1]} bytes"
