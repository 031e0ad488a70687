"""Pieces of a structure are those of scipy, and only those that are small beside the largest are dropped."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from compress.data.pieces import drop_bare, drop_small, fill_holes, label_pieces
from compress.data.tidy import Tidy

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


@given(seed=st.integers(0, 2**32 - 1), empty=st.floats(0.0, 0.6))
def test_holes_are_background_that_meets_one_structure_alone(seed: int, empty: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 10, 3))
    mask = np.kron(rng.integers(1, 4, shape), np.ones((1, 2, 3))).astype(np.uint8)
    mask[rng.random(mask.shape) < empty] = 0
    wanted = mask.copy()
    for before, after in zip(mask, wanted, strict=True):
        regions, count = ndimage.label(before == 0)
        padded = np.pad(before.astype(int), 1, constant_values=-1)
        for number in range(1, count + 1):
            around = ndimage.binary_dilation(np.pad(regions == number, 1)) & ~np.pad(regions == number, 1)
            if (met := set(padded[around])) in ({1}, {3}):
                after[regions == number] = met.pop()
    found = fill_holes(mask, [1, 3])
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.uint8 and (found is mask) == np.array_equal(wanted, mask)


def test_the_cavity_is_no_hole_of_the_myocardium() -> None:
    rows, columns = np.mgrid[:40, :40] - 20
    radius = np.hypot(rows, columns)
    mask = np.where(radius < 8, 3, np.where(radius < 12, 2, 0))[None].astype(np.uint8)
    whole = mask.copy()
    mask[0, 20, 20] = mask[0, 20, 30] = 0  # a hole in each
    np.testing.assert_array_equal(fill_holes(mask, [2, 3]), whole)
    gap = whole.copy()
    gap[0][(radius > 7) & (radius < 9)] = 0  # between both: whose is it?
    assert fill_holes(gap, [2, 3]) is gap
    missed = np.where(whole == 3, 0, whole)
    assert fill_holes(missed, [2, 3], {2: 3}) is missed, "a cavity that was not found"
    both = np.concatenate([mask, missed])
    np.testing.assert_array_equal(fill_holes(both, [2, 3], {2: 3}), np.concatenate([whole, missed]))


def test_pieces_go_before_holes_are_filled() -> None:
    mask = np.zeros((1, 9, 20), np.uint8)
    mask[0, 1:8, 1:8] = 2
    mask[0, 4, 4], mask[0, 2:7, 12:17] = 3, 3  # a speck of LV in the wall, and the LV
    found = Tidy({3: 0.5}, (2,), {2: 3})(mask)
    assert found[0, 4, 4] == 2 and np.array_equal(found == 3, (mask == 3) & (np.arange(20) > 10))


def test_a_cavity_without_its_muscle_around_it_goes_slice_by_slice() -> None:
    """Above the base a network takes the atrium for the LV: no myocardium of that slice touches it."""
    mask = np.zeros((4, 12, 12), np.uint8)
    mask[1:, 2:10, 2:10] = 2
    mask[:, 4:8, 4:8] = 3
    mask[0, 0:4, 0:4] = 1
    mask[2, :, 8:] = 0  # three sides of four are held
    mask[3, :, 8:] = mask[3, :4] = mask[3, 8:] = 0  # one of four
    mask[0, 4:8, 4:9] = 3  # the atrium, larger than the LV below; the last slice is bare too, and no larger
    found = drop_bare(mask, {2: 3})
    expected = mask.copy()
    expected[0] = np.where(mask[0] == 3, 0, mask[0])
    np.testing.assert_array_equal(found, expected)
    assert drop_bare(found, {2: 3}) is found and drop_bare(mask, {}) is mask


def test_a_cavity_at_the_border_is_judged_by_what_is_seen_of_it() -> None:
    mask = np.zeros((1, 6, 6), np.uint8)
    mask[0, :4, :4], mask[0, :3, :3] = 2, 3
    assert drop_bare(mask, {2: 3}) is mask
    alone = np.where(mask == 2, 0, mask).astype(np.uint8)
    assert drop_bare(alone, {2: 3}) is alone, "no slice says how large an LV is here"
    full = np.full((1, 6, 6), 3, np.uint8)
    assert drop_bare(full, {2: 3}) is full
