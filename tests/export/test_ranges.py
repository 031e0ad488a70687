"""Ranges of activations: what each method keeps, and that they come from all images, one at a time."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.choices import CALIBRATION_METHODS
from compress.export.ranges import Histogram, entropy, measure_ranges, minmax, percentile


def counted(*parts: np.ndarray) -> Histogram:
    """The histogram of some batches of values."""
    histogram = Histogram(np.inf, -np.inf, np.zeros(4096, np.int64))
    for values in parts:
        histogram.widen(values)
    for values in parts:
        histogram.add(values)
    return histogram


@given(st.integers(0, 50), st.booleans())
def test_every_value_is_counted_once_and_ranges_lie_within_the_values(seed: int, positive: bool) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(500).astype(np.float32) * scale for scale in rng.uniform(0.1, 50, 3)]
    parts = [np.maximum(part, 0) if positive else part for part in parts]
    histogram, values = counted(*parts), np.concatenate(parts)
    assert histogram.counts.sum() == values.size
    assert minmax(histogram) == (values.min(), values.max())
    for method in (percentile, entropy):
        low, high = method(histogram)
        assert values.min() <= low <= high <= values.max()


def test_one_far_value_spoils_minmax_and_neither_of_the_others() -> None:
    values = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    histogram = counted(values, np.array([100.0], np.float32))
    assert minmax(histogram)[1] == 100
    assert 4 < percentile(histogram)[1] < 6
    assert 2 < entropy(histogram)[1] < 10


def test_constant_activations_have_a_range() -> None:
    for value in (0.0, 2.5, -1.0):
        for method in (minmax, percentile, entropy):
            low, high = method(counted(np.full(10, value, np.float32)))
            assert low <= high and np.isfinite([low, high]).all()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(1)
    images = rng.standard_normal((6, 1, 192, 192)).astype(np.float32)  # 99.999% leave out one in 100,000 values
    images[3, 0, 5, 5] = 30.0  # one bright vessel
    return images


def test_methods_differ_on_a_network(sealed_path, images) -> None:
    found = {name: measure_ranges(onnx.load(sealed_path), images, method=name) for name in CALIBRATION_METHODS}
    assert found["minmax"]["image"] == (images.min(), 30.0)
    names = set(found["minmax"])
    assert all(set(ranges) == names for ranges in found.values())
    for one, other in (("minmax", "percentile"), ("minmax", "entropy"), ("percentile", "entropy")):
        assert sum(found[one][name] != found[other][name] for name in names) > len(names) / 3


def test_ranges_do_not_depend_on_the_order_of_the_images(sealed_path, images) -> None:
    model = onnx.load(sealed_path)
    assert measure_ranges(model, images, method="entropy") == measure_ranges(model, images[::-1], method="entropy")
