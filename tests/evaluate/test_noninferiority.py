"""The interval of the gate: its error rates, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from compress.evaluate.noninferiority import bootstrap_t, bounds, inside, interval, unseen_share

COHORTS = 1000
RESAMPLES = 1000

SHAPES = {
    "normal": (lambda rng, size: rng.standard_normal(size), 3.5),
    "heavy tails": (lambda rng, size: rng.standard_t(3, size), 3.5),
    "bad patients": (lambda rng, size: 2 - rng.gamma(2, size=size), 5.5),
    "very bad patients": (lambda rng, size: np.exp(0.5) - np.exp(rng.standard_normal(size)), 9.0),
    "good patients": (lambda rng, size: np.exp(rng.standard_normal(size)) - np.exp(0.5), 2.5),
}
"""Differences with mean 0, negative is bad; and what share of false acceptances is tolerated, in percent."""

values = st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=30)
few = settings(max_examples=40)


@pytest.mark.parametrize("shape", SHAPES)
def test_false_acceptance_at_the_margin_and_power_without_a_difference(shape: str) -> None:
    draw, tolerated = SHAPES[shape]
    samples = draw(np.random.default_rng(3), (20, COHORTS))
    margin = 1.5 * samples.std()
    low, _ = bounds(samples - margin, 0.95, RESAMPLES, 0)  # the true mean lies at the margin
    _, high = bounds(margin - samples, 0.95, RESAMPLES, 0)  # the same where higher is worse
    assert 100 * np.mean(low > -margin) <= tolerated
    assert 100 * np.mean(high < margin) <= tolerated
    low, high = bounds(samples, 0.95, RESAMPLES, 0)
    assert 100 * np.mean(low > -margin) >= 85
    assert (low <= samples.mean(axis=0)).all() and (samples.mean(axis=0) <= high).all()


def test_a_simpler_interval_would_not_do() -> None:
    """The reason for the studentised bootstrap: bad patients make Student's t accept too often."""
    samples = 2 - np.random.default_rng(3).gamma(2, size=(20, COHORTS))
    error = samples.std(axis=0, ddof=1) / np.sqrt(20)
    student = samples.mean(axis=0) - stats.t.ppf(0.975, 19) * error
    ours, _ = bounds(samples, 0.95, RESAMPLES, 0)
    assert np.mean(student > 0) > 1.3 * np.mean(ours > 0)


def test_no_interval_sees_a_failure_that_is_not_there() -> None:
    """One patient in twenty fails: in a third of all cohorts nobody does. The docstring says so, the limits remain."""
    rng = np.random.default_rng(0)
    failing = -1.0 * (rng.random((20, COHORTS)) < 0.05)
    low, _ = bounds(failing, 0.95, RESAMPLES, 0)
    assert np.mean(low > -0.05) == pytest.approx(0.95**20, abs=0.04)
    assert unseen_share(20) == pytest.approx(0.139, abs=1e-3)
    assert (1 - unseen_share(20)) ** 20 == pytest.approx(0.05)


def test_it_is_never_narrower_than_its_parts_nor_wider_than_the_data() -> None:
    samples = np.random.default_rng(1).standard_t(3, (12, 200))
    low, high = bounds(samples, 0.95, RESAMPLES, 0)
    inner_low, inner_high = bootstrap_t(samples, 0.95, RESAMPLES, 0)
    outermost_low, outermost_high = samples.min(axis=0), samples.max(axis=0)
    assert (low <= np.maximum(inner_low, outermost_low)).all() and (
        high >= np.minimum(inner_high, outermost_high)
    ).all()
    assert (low >= outermost_low).all() and (high <= outermost_high).all()


def test_one_column_is_the_whole_table() -> None:
    samples = np.random.default_rng(2).standard_normal((15, 4))
    low, high = bounds(samples, 0.95, RESAMPLES, 0)
    for column in range(4):
        assert interval(samples[:, column], resamples=RESAMPLES) == pytest.approx((low[column], high[column]))


@pytest.mark.parametrize("value", [0.0, -0.02, 3.5])
def test_equal_differences_have_no_spread(value: float) -> None:
    assert interval(np.full(20, value), resamples=RESAMPLES) == pytest.approx((value, value))


def test_nineteen_equal_and_one_terrible_is_not_accepted() -> None:
    differences = np.zeros(20)
    differences[7] = -0.15  # the mean is -0.0075, inside a margin of 0.01
    low, _ = interval(differences, resamples=RESAMPLES)
    assert not inside(low, 0.0, 0.01, worse="lower")


@few
@given(values=values, seed=st.integers(0, 100))
def test_the_order_of_patients_changes_nothing(values: list[float], seed: int) -> None:
    given = np.array(values)
    shuffled = np.random.default_rng(seed).permutation(given)
    assert interval(given, resamples=RESAMPLES) == interval(shuffled, resamples=RESAMPLES)


@few
@given(values=values, shift=st.floats(-5, 5))
def test_shifting_all_patients_shifts_the_interval(values: list[float], shift: float) -> None:
    before = interval(np.array(values), resamples=RESAMPLES)
    after = interval(np.array(values) + shift, resamples=RESAMPLES)
    assert after == pytest.approx(tuple(end + shift for end in before), abs=1e-6)


@few
@given(values=values)
def test_a_mean_at_the_margin_is_never_accepted(values: list[float]) -> None:
    """Accepted means shown: shifted onto the margin, the verdict flips."""
    differences = np.array(values) - np.mean(values)
    low, high = interval(differences - 1.0, resamples=RESAMPLES)
    assert low <= -1.0 + 1e-9 and high >= -1.0 - 1e-9


@few
@given(values=values)
def test_good_and_bad_are_mirrored(values: list[float]) -> None:
    low, high = interval(np.array(values), resamples=4000)
    mirrored = interval(-np.array(values), resamples=4000)
    spread = max(high - low, 1e-6)
    assert low <= np.mean(values) + 1e-9 and high >= np.mean(values) - 1e-9
    assert abs(mirrored[0] + high) <= spread and abs(mirrored[1] + low) <= spread
