from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from compress.data.resample import cubic, linear

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
WHOLE = (slice(None), slice(None))


def zoom(image: np.ndarray, shape: tuple[int, int], order: int) -> np.ndarray:
    factors = [m / n for n, m in zip(image.shape, shape, strict=True)]
    zoomed = np.asarray(ndimage.zoom(image.astype(np.float32), factors, order=order, mode="nearest", grid_mode=True))
    return np.clip(zoomed, image.min(), image.max())


def images(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 50, (2, *shape)).astype(np.float32)


@given(before=sizes, after=sizes, seed=st.integers(0, 99))
def test_cubic_is_the_spline_of_scipy(before, after, seed) -> None:
    source = images(seed, before)
    ours = cubic(source, after, WHOLE)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, [zoom(image, after, 3) for image in source], atol=2e-3)


@given(before=sizes, after=sizes, seed=st.integers(0, 99))
def test_linear_is_the_interpolation_of_scipy(before, after, seed) -> None:
    source = images(seed, before)
    np.testing.assert_allclose(linear(source, after), [zoom(image, after, 1) for image in source], atol=1e-3)


def test_at_the_size_of_a_heart_cubic_has_scipys_very_bits() -> None:
    source = images(7, (256, 216))
    equal = cubic(source, (267, 225), WHOLE) == np.stack([zoom(image, (267, 225), 3) for image in source])
    assert equal.mean() > 0.9999


@pytest.mark.parametrize("shape", [(31, 47), (40, 36)])
def test_a_window_is_a_part_of_the_whole(shape) -> None:
    source, window = images(3, (40, 36)), (slice(4, 29), slice(10, 31))
    np.testing.assert_allclose(cubic(source, shape, window), cubic(source, shape, WHOLE)[:, 4:29, 10:31], atol=1e-4)


def test_the_same_size_changes_nothing_and_inputs_stay_as_they_are() -> None:
    source = images(5, (9, 8))
    before = source.copy()
    np.testing.assert_array_equal(cubic(source, (9, 8), WHOLE), source)
    np.testing.assert_array_equal(linear(source, (9, 8)), source)
    linear(source, (13, 5))
    np.testing.assert_array_equal(source, before)
