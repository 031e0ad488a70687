"""An estimate with its interval, as benchmarks measure it and records keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95% bootstrap interval."""

    median: float
    low: float
    high: float
