"""Pieces of a structure are those of scipy, and only those that are small beside the largest are dropped."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from compress.data.pieces import drop_small, label_pieces

CUBE = np.ones((3, 3, 3))


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.0, 1.0))
def test_pieces_are_those_of_scipy(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    voxels = rng.random(rng.integers(1, 12, 3)) < share
    np.testing.assert_array_equal(label_pieces(voxels), ndimage.label(voxels, CUBE)[0])


def test_a_snake_is_one_piece() -> None:
    voxels = np.zeros((1, 128, 128), bool)
    voxels[0, ::2] = True
    for row in range(1, 127, 2):
        voxels[0, row, 127 if row % 4 == 1 else 0] = True
    assert label_pieces(voxels).max() == 1


@given(seed=st.integers(0, 2**32 - 1), first=st.floats(0.01, 1.0), second=st.floats(0.01, 1.0))
def test_what_is_dropped_is_small_and_what_stays_is_not(seed: int, first: float, second: float) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.integers(1, 4, (4, 12, 12)) * (rng.random((4, 12, 12)) < 0.12)).astype(np.uint8)
    found = drop_small(mask, {1: first, 3: second})
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == 2, mask == 2)
    for value, share in ((1, first), (3, second)):
        labels, count = ndimage.label(mask == value, CUBE)
        sizes = ndimage.sum_labels(mask == value, labels, range(1, count + 1))
        for number, size in enumerate(sizes, start=1):
            stays = size >= share * max(sizes)
            assert (found[labels == number] == (value if stays else 0)).all()


def test_a_mask_of_which_nothing_is_dropped_is_handed_back() -> None:
    mask = np.zeros((2, 4, 4), np.uint8)
    assert drop_small(mask, {1: 0.5}) is mask
    mask[0, 0, 0] = mask[1, 3, 3] = 1  # two pieces of one size: neither is smaller than the largest
    assert drop_small(mask, {1: 1.0}) is mask
    assert drop_small(mask, {}) is mask
