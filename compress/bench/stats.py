"""Statistics of latency samples: plain functions without a clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compress.evaluate.interval import Interval

MIN_SAMPLES_P90 = 64
"""Fewer samples say too little about a 90th percentile (MLPerf's early-stopping rule)."""

_RESAMPLES = 2000


def median(samples: Sequence[float]) -> float:
    """The median, in the samples' unit. Raises `ValueError` without samples."""
    return float(np.median(_array(samples)))


def p90(samples: Sequence[float]) -> float | None:
    """The 90th percentile, or None under `MIN_SAMPLES_P90` samples."""
    values = _array(samples)
    return float(np.quantile(values, 0.9)) if len(values) >= MIN_SAMPLES_P90 else None


def spread(samples: Sequence[float]) -> float:
    """Interquartile range over median: 0 for identical samples, no unit."""
    low, middle, high = np.quantile(_array(samples), (0.25, 0.5, 0.75))
    return float((high - low) / middle)


def throughput(samples: Sequence[float], *, images: int) -> float:
    """Images per second at the median, for samples in seconds per batch of `images`."""
    return images / median(samples)


def paired_ratio(above: Sequence[float], below: Sequence[float], *, seed: int = 0) -> Interval:
    """Median of the ratios above[i] / below[i], with a bootstrap interval over the pairs.

    Pairs were measured next to each other, so a machine that slows down midway cancels out.
    Percentile bootstrap (Efron 1979) with a seeded generator. Raises `ValueError` for unequal
    lengths or values that are not positive.
    """
    top, bottom = _array(above), _array(below)
    if len(top) != len(bottom):
        raise ValueError(f"Paired samples differ in number: {len(top)} and {len(bottom)}.")
    ratios = top / bottom
    picks = np.random.default_rng(seed).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[picks], axis=1), (0.025, 0.975))
    return Interval(float(np.median(ratios)), float(low), float(high))


def _array(samples: Sequence[float]) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"Expected one or more positive, finite samples, got {values.tolist()[:5]}.")
    return values
