"""Latency of several models on the same images, measured so that a drifting machine cancels out.

Every round times every model once, and the baseline twice: its second series is the A/A control,
whose ratio to the first shows what this machine calls "no difference". The order is reversed every
round, so that no model always follows the same one.

Beside the wall's time stands the processor time of the process: other programs make a run wait, and lengthen the one
several times, the other by a few percent. Where the wall's times are unsteady, the ratio of processor times decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from compress.bench.stats import MIN_SAMPLES_P90, median, paired_ratio, spread
from compress.errors import ConfigError
from compress.evaluate.interval import Interval
from compress.runtime.machine import available_cores
from compress.runtime.providers import find_provider
from compress.runtime.session import open_session

MAX_CONTROL_SHIFT = 0.05
MAX_SPREAD = 0.25
MAX_WAITING = 1.25
"""Wall time over processor time of one thread: beyond it the thread waited for others."""
SEED = 0
"""Of the images that are timed, and of the bootstrap."""


class Runner(Protocol):
    """What is timed: `compress.runtime.session.Session`, or a stand-in."""

    def run(self, images: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class LatencySamples:
    """Raw samples in seconds per batch; index i of every series belongs to round i."""

    shape: tuple[int, int, int, int]
    """(N, C, H, W) of the timed batch."""
    baseline: str
    samples: dict[str, tuple[float, ...]]
    """Per model, the baseline first."""
    control: tuple[float, ...]
    """The baseline's second series."""
    device: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Per model on a GPU, in the same rounds: input and output on the device, nothing copied. Empty on the CPU."""
    cpu: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Per model the processor time of all threads in the same rounds; empty where a GPU computes."""
    cpu_control: tuple[float, ...] = ()
    """Of the baseline's second series."""
    load: float | None = None
    """The machine's load in the minute before the first round; None where it is not told."""

    @property
    def by_cpu(self) -> bool:
        """Whether ratios are those of processor times: they were measured, and the wall's times are unsteady."""
        return bool(self.cpu_control) and (self.busy or self._unsteady)

    @property
    def busy(self) -> bool:
        """Whether other programs computed meanwhile: more load than cores, or a run that waited for the processor."""
        loaded = self.load is not None and self.load > available_cores()
        return loaded or (bool(self.cpu_control) and self._wall > MAX_WAITING * self._processor)

    @property
    def control_ratio(self) -> Interval:
        """Baseline over its own second series: should hold 1."""
        if self.by_cpu:
            return paired_ratio(self.cpu[self.baseline], self.cpu_control, seed=SEED)
        return self._wall_control

    def speedup(self, name: str) -> Interval:
        """Baseline time over the model's time in the same round: above 1 is faster."""
        series = self.cpu if self.by_cpu else self.samples
        return paired_ratio(series[self.baseline], series[name], seed=SEED)

    @property
    def _wall(self) -> float:
        return median(self.samples[self.baseline])

    @property
    def _processor(self) -> float:
        return median(self.cpu[self.baseline])

    @property
    def _wall_control(self) -> Interval:
        return paired_ratio(self.samples[self.baseline], self.control, seed=SEED)

    @property
    def _unsteady(self) -> bool:
        shifted = abs(self._wall_control.median - 1) > MAX_CONTROL_SHIFT
        return shifted or any(spread(series) > MAX_SPREAD for series in self.samples.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before trusting the figures."""
        found = []
        if self.busy:
            load = "" if self.load is None else f" (load {self.load:.1f} on {available_cores()} cores)"
            times = f"; {self.baseline} took {1e3 * self._wall:.1f} ms"
            times += f" for {1e3 * self._processor:.1f} ms of processor time" if self.cpu_control else ""
            found.append(f"The machine was busy{load}: wall times are longer than they are when it is idle{times}.")
        if self.by_cpu:
            found.append("Ratios are those of processor times, because the wall's times are unsteady.")
        shift = self.control_ratio.median
        if abs(shift - 1) > MAX_CONTROL_SHIFT:
            found.append(f"The baseline differs from itself by a factor of {shift:.3f} (A/A control): a busy machine?")
        rounds = len(self.control)
        if rounds < MIN_SAMPLES_P90:
            found.append(f"No 90th percentile: {rounds} rounds, {MIN_SAMPLES_P90} are needed.")
        for name in list(self.samples)[1:]:
            interval = self.speedup(name)
            if interval.low <= 1 <= interval.high:
                found.append(f"No difference in speed is shown for {name}: the interval of its speed-up contains 1.")
        for name, series in self.samples.items():
            width = spread(series)
            if width > MAX_SPREAD:
                found.append(f"Unsteady times of {name}: the middle half spans {width:.0%} of the median.")
        return tuple(found)


def time_files(
    models: Mapping[str, Path],
    *,
    shape: tuple[int, int, int, int],
    provider: str = "cpu",
    threads: int | None = None,
    rounds: int = 100,
    warmup: int = 5,
) -> LatencySamples:
    """Open ONNX files (name -> file, the baseline first) and time them as `measure_latency` does.

    Raises what `open_session` raises.
    """
    sessions = {
        name: open_session(path, provider=provider, threads=threads, spinning="per-run")
        for name, path in models.items()
    }
    return measure_latency(sessions, shape=shape, rounds=rounds, warmup=warmup, cpu_clock=cpu_clock_of(provider))


def cpu_clock_of(provider: str) -> Callable[[], float] | None:
    """What tells the processor time of a run; None where the provider does not compute on the processor."""
    return None if find_provider(provider).memory else time.process_time


def measure_latency(
    sessions: Mapping[str, Runner],
    *,
    shape: tuple[int, int, int, int],
    rounds: int = 100,
    warmup: int = 5,
    on_device: Callable[[str, np.ndarray], Callable[[], object] | None] = lambda name, images: None,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] | None = None,
) -> LatencySamples:
    """Time `run` of every session on one batch (N, C, H, W) of normal noise; the first is the baseline.

    Open the sessions with `spinning="per-run"`, or the idle threads of one slow the next. Times include copies to
    and from a GPU; `on_device` gives the run of one model without them, None where there is none. `clock` gives
    seconds, `cpu_clock` (see `cpu_clock_of`) those of the processor. Raises `ConfigError` without sessions, rounds or
    warm-up, and what `Session.run` raises.
    """
    if not sessions or rounds < 1 or warmup < 1:
        raise ConfigError(
            f"Latency needs a model, a round and a warm-up round; got {len(sessions)} model(s), "
            f"{rounds} round(s) and {warmup} warm-up round(s)."
        )
    images = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    baseline = next(iter(sessions))
    hosted = {name: partial(runner.run, images) for name, runner in sessions.items()}
    bound = {name: run for name in sessions if (run := on_device(name, images))}
    runs = [*hosted.values(), hosted[baseline], *bound.values()]
    load = os.getloadavg()[0] if cpu_clock and hasattr(os, "getloadavg") else None
    for run in [*hosted.values(), *bound.values()] * warmup:
        run()
    times, spent = _interleaved(runs, rounds, clock, cpu_clock or (lambda: 0.0))
    count = len(hosted)
    return LatencySamples(
        shape=shape,
        baseline=baseline,
        samples=dict(zip(hosted, times[:count], strict=True)),
        control=times[count],
        device=dict(zip(bound, times[count + 1 :], strict=True)),
        cpu=dict(zip(hosted, spent[:count], strict=True)) if cpu_clock else {},
        cpu_control=spent[count] if cpu_clock else (),
        load=load,
    )


def _interleaved(
    runs: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float], cpu_clock: Callable[[], float]
) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Seconds of every run in every round by both clocks, the order reversed every other round."""
    times: list[list[float]] = [[] for _ in runs]
    spent: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        order = range(len(runs)) if number % 2 == 0 else reversed(range(len(runs)))
        for index in order:
            start, begun = clock(), cpu_clock()
            runs[index]()
            spent[index].append(cpu_clock() - begun)
            times[index].append(clock() - start)
    return [tuple(series) for series in times], [tuple(series) for series in spent]
