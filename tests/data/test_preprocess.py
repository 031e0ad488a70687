"""From a native volume to the network's grid and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.data.preprocess import Geometry, Preprocessing, inverse, softmax
from compress.data.volume import Case, Volume
from compress.errors import CheckpointError, DataError

SIDE = st.integers(2, 24)


def volume_of(image: np.ndarray, mask: np.ndarray | None = None, spacing: tuple[float, float] = (1.5, 1.5)) -> Volume:
    case = Case("patient001", "ED", Path("image.nii.gz"), Path("mask.nii.gz"))
    return Volume(case, image.astype(np.float32), mask, (10.0, *spacing), np.eye(4))


def random_volume(shape: tuple[int, int], spacing: tuple[float, float] = (1.5, 1.5), seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 4, (2, *shape)).astype(np.uint8)
    return volume_of(rng.uniform(0, 255, (2, *shape)), mask, spacing)


def one_hot(mask: np.ndarray) -> np.ndarray:
    return 9.0 * np.eye(4, dtype=np.float32)[mask].transpose(0, 3, 1, 2)


@settings(deadline=None)
@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.integers(0, 99))
def test_equal_spacing_is_undone_exactly(shape: tuple[int, int], size: tuple[int, int], seed: int):
    """Odd, even, smaller and larger than the window; what the window cuts off becomes background."""
    volume = random_volume(shape, seed=seed)
    prepared = Preprocessing(size=size).forward(volume)
    assert prepared.images.shape == prepared.mask.shape == (2, *size)
    inside = np.zeros(shape, bool)
    cuts = [max(n - w, 0) for n, w in zip(shape, size, strict=True)]
    rows, columns = (slice(cut // 2, n - (cut - cut // 2)) for cut, n in zip(cuts, shape, strict=True))
    inside[rows, columns] = True
    assert np.array_equal(inverse(one_hot(prepared.mask), prepared.geometry), np.where(inside, volume.mask, 0))


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 400), st.integers(1, 6)),
    st.tuples(st.floats(0.3, 4), st.floats(0.3, 4)),
    st.tuples(SIDE, SIDE),
)
def test_the_native_shape_always_comes_back(
    shape: tuple[int, int], spacing: tuple[float, float], size: tuple[int, int]
):
    geometry = Preprocessing(size=size).geometry(shape, spacing)
    logits = np.zeros((2, 4, *size), np.float32)
    labels = inverse(logits, geometry)
    assert labels.shape == (2, *shape)
    assert labels.dtype == np.uint8


@settings(deadline=None, max_examples=30)
@given(st.tuples(st.integers(2, 60), st.integers(8, 20)), st.tuples(st.floats(0.3, 4), st.floats(0.8, 2)))
def test_forward_fills_the_window(shape: tuple[int, int], spacing: tuple[float, float]):
    prepared = Preprocessing(size=(16, 32)).forward(random_volume(shape, spacing))
    assert prepared.images.shape == (2, 16, 32)
    assert prepared.images.dtype == np.float32
    assert np.isfinite(prepared.images).all()
    assert prepared.mask.dtype == np.uint8
    assert set(np.unique(prepared.mask)) <= {0, 1, 2, 3}


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE))
def test_the_window_is_centred(resampled: tuple[int, int], window: tuple[int, int]):
    source, target = Geometry(resampled, resampled, window).slices()
    for axis in range(2):
        assert source[axis].stop - source[axis].start == target[axis].stop - target[axis].start
        for part, length in ((source[axis], resampled[axis]), (target[axis], window[axis])):
            assert 0 <= length - part.stop - part.start <= 1
            assert part.start >= 0


def test_resampled_size_follows_the_spacing():
    geometry = Preprocessing(spacing_mm=(1.5, 2.0), size=(160, 160)).geometry((200, 220), (1.5, 1.0))
    assert geometry == Geometry((200, 220), (200, 110), (160, 160))
    assert Preprocessing().geometry((1, 1), (0.1, 0.1)).resampled == (1, 1)


@pytest.mark.parametrize("spacing", [(0.7, 0.7), (1.0, 1.25), (1.37, 1.37), (1.8, 1.9)])
def test_a_smooth_shape_survives_resampling(spacing: tuple[float, float]):
    shape = tuple(round(150 / s) for s in spacing)
    y, x = np.indices(shape) * np.array(spacing)[:, None, None]
    radius = np.hypot(y - 70, x - 78) / (1 + 0.15 * np.cos(3 * np.arctan2(y - 70, x - 78)))
    mask = np.select([radius < 20, radius < 30], [3, 2], 0).astype(np.uint8)[None]
    volume = volume_of(100 * np.exp(-radius / 30)[None], mask, spacing)
    prepared = Preprocessing(size=(128, 128)).forward(volume)
    back = inverse(one_hot(prepared.mask), prepared.geometry)
    for label in (2, 3):
        dice = 2 * np.sum((back == label) & (mask == label)) / (np.sum(back == label) + np.sum(mask == label))
        assert dice > 0.95, (label, dice)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 10), st.floats(-100, 100), st.sampled_from([(1.5, 1.5), (1.25, 1.1)]))
def test_affine_intensity_changes_do_not_matter(scale: float, offset: float, spacing: tuple[float, float]):
    volume = random_volume((20, 18), spacing)
    changed = volume_of(volume.image * scale + offset, None, spacing)
    rules = Preprocessing(size=(16, 24))
    np.testing.assert_allclose(rules.forward(volume).images, rules.forward(changed).images, atol=1e-4)


def test_images_are_clipped_scored_and_padded_with_their_minimum():
    image = np.random.default_rng(0).normal(100, 10, (3, 20, 20))
    image[0, 10, 10] = 1e6
    images = Preprocessing(size=(20, 32)).forward(volume_of(image)).images
    inside = images[:, :, 6:26]
    assert inside.mean() == pytest.approx(0, abs=1e-4)
    assert inside.std() == pytest.approx(1, abs=1e-4)
    assert images.max() < 5, "the bright pixel is clipped to the 99.5th percentile"
    assert (images[:, :, :6] == inside.min()).all()
    assert (images[:, :, 26:] == inside.min()).all()


def test_a_volume_without_a_mask_stays_without():
    assert Preprocessing(size=(8, 8)).forward(volume_of(random_volume((8, 8)).image)).mask is None


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_constant_images_are_refused_by_name(value: float):
    with pytest.raises(DataError, match=r"patient001_ED: the image is constant inside the window"):
        Preprocessing(size=(8, 8)).forward(volume_of(np.full((2, 8, 8), value)))


def test_inverse_refuses_logits_of_another_grid():
    geometry = Preprocessing(size=(8, 16)).geometry((20, 20), (1.5, 1.5))
    for shape in ((2, 4, 8, 8), (2, 8, 16)):
        with pytest.raises(DataError, match=r"Logits have shape .*\(8, 16\)"):
            inverse(np.zeros(shape, np.float32), geometry)


def test_softmax_is_stable_and_sums_to_one():
    shares = softmax(np.array([[[1000.0]], [[1000.0]], [[-1000.0]]], np.float32))
    np.testing.assert_allclose(shares[:, 0, 0], [0.5, 0.5, 0])


def test_rules_travel_as_json():
    rules = Preprocessing((1.25, 1.4), (96, 64), (1.0, 99.0))
    assert Preprocessing.from_json(rules.to_json()) == rules
    assert set(rules.to_json()) == {"spacing_mm", "size", "clip_percentiles"}, "as before windows could move"
    moving = replace(rules, recentre=2)
    assert Preprocessing.from_json(moving.to_json()) == moving


@pytest.mark.parametrize("change", [{"size": None}, {"colour": [1, 2]}, {"size": 3}, {"recentre": "2"}])
def test_damaged_rules_are_refused(change: dict[str, object]):
    value = {k: v for k, v in {**Preprocessing().to_json(), **change}.items() if v is not None}
    with pytest.raises(CheckpointError, match="Preprocessing rules are damaged"):
        Preprocessing.from_json(value)
