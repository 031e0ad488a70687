from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bench.stats import MIN_SAMPLES_P90, median, p90, paired_ratio, spread, throughput
from compress.evaluate.interval import Interval

times = st.lists(st.floats(1e-4, 10), min_size=1, max_size=30)


def test_figures_of_known_samples() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert throughput([0.5, 0.25, 0.1], images=4) == 16.0
    assert spread([1.0, 1.0, 1.0]) == 0.0
    assert spread([1.0, 2.0, 3.0]) == pytest.approx(0.5)


def test_p90_needs_64_samples() -> None:
    assert p90([1.0] * (MIN_SAMPLES_P90 - 1)) is None
    assert p90([float(i) for i in range(1, 102)]) == pytest.approx(91.0)


@given(times)
def test_a_series_over_itself_is_exactly_one(series: list[float]) -> None:
    assert paired_ratio(series, series) == Interval(1.0, 1.0, 1.0)


@given(times, st.floats(0.1, 10))
def test_a_constant_factor_is_found_whatever_the_drift(series: list[float], factor: float) -> None:
    found = paired_ratio([factor * value for value in series], series)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=30))
def test_the_interval_holds_the_median(pairs: list[tuple[float, float]]) -> None:
    found = paired_ratio(*zip(*pairs, strict=True))
    assert found.low <= found.median <= found.high


def test_the_bootstrap_is_seeded() -> None:
    above, below = [1.0, 2.0, 3.0, 5.0, 9.0], [1.0, 1.5, 2.0, 2.0, 2.0]
    assert paired_ratio(above, below, seed=3) == paired_ratio(above, below, seed=3)


@pytest.mark.parametrize("series", [[], [0.0], [-1.0], [float("nan")], [float("inf")]])
def test_impossible_samples_are_refused(series: list[float]) -> None:
    with pytest.raises(ValueError, match="positive, finite samples"):
        median(series)


def test_unpaired_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in number: 2 and 1"):
        paired_ratio([1.0, 2.0], [1.0])
