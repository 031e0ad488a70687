"""Slices, augmentation and batches are functions of seed, epoch and index alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.data.augment import STRENGTHS, augment, build_augmentation
from compress.data.dataset import SliceDataset, epoch_loader, sample_seed, spread
from compress.data.prepared import Prepared
from compress.data.preprocess import Geometry
from compress.errors import DataError

SIZE = (32, 24)
GEOMETRY = Geometry(SIZE, SIZE, SIZE)


def prepared(slices: int = 4, seed: int = 0, *, labelled: bool = True) -> Prepared:
    rng = np.random.default_rng(seed)
    mask = np.zeros((slices, *SIZE), np.uint8)
    for label in (1, 2, 3):
        mask[:, 6 * label : 6 * label + 6, 6:18] = label
    images = (mask + 0.2 * rng.standard_normal(mask.shape)).astype(np.float32)
    return Prepared(images, mask if labelled else None, GEOMETRY)


def numbered(count: int, seed: int) -> SliceDataset:
    """Slice i holds the value i, so that batches tell their order."""
    images = np.arange(count, dtype=np.float32)[:, None, None] * np.ones(SIZE, np.float32)
    volume = Prepared(images, np.zeros((count, *SIZE), np.uint8), GEOMETRY)
    return SliceDataset([volume], strength=0.0, seed=seed)


def order(dataset: SliceDataset, epoch: int, *, batch_size: int = 3) -> list[int]:
    return [int(v) for b in epoch_loader(dataset, batch_size=batch_size, epoch=epoch) for v in b.images[:, 0, 0, 0]]


def test_samples_depend_on_seed_epoch_and_index_alone():
    first = SliceDataset([prepared()], strength=1.0, seed=3)
    second = SliceDataset([prepared()], strength=1.0, seed=3)
    first.set_epoch(2)
    second.set_epoch(1)
    before = second[1]
    torch.manual_seed(99)
    np.random.seed(99)
    second.set_epoch(2)
    for index in (3, 0, 1):
        for mine, other in zip(first[index], second[index], strict=True):
            assert np.array_equal(mine, other)
    assert not np.array_equal(before[0], second[1][0]), "another epoch draws another sample"
    third = SliceDataset([prepared()], strength=1.0, seed=4)
    third.set_epoch(2)
    assert not np.array_equal(first[1][0], third[1][0])


def test_augmentation_leaves_the_global_randomness_alone():
    state = torch.get_rng_state()
    dataset = SliceDataset([prepared()], strength=1.0, seed=0)
    for index in range(4):
        dataset[index]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("strength", [STRENGTHS["light"], STRENGTHS["strong"]])
def test_labels_stay_in_the_label_set(strength: float):
    transform = build_augmentation(strength)
    volume = prepared()
    for seed in range(30):
        image, mask = augment(transform, volume.images[0], volume.mask[0], seed=seed)
        assert image.shape == mask.shape == SIZE
        assert (image.dtype, mask.dtype) == (np.float32, np.uint8)
        assert np.isfinite(image).all()
        assert set(np.unique(mask)) <= {0, 1, 2, 3}


def test_image_and_mask_move_together():
    transform = build_augmentation(1.0)
    mask = prepared().mask[0]
    agreement = []
    for seed in range(20):
        image, moved = augment(transform, (mask > 0).astype(np.float32), mask, seed=seed)
        bright = image > (image.min() + image.max()) / 2
        agreement.append(np.mean(bright == (moved > 0)))
    assert np.mean(agreement) > 0.93


def test_strength_zero_returns_the_slices_as_they_are():
    volume = prepared()
    dataset = SliceDataset([volume], strength=STRENGTHS["none"], seed=0)
    assert build_augmentation(0.0) is None
    image, mask = dataset[2]
    assert np.array_equal(image, volume.images[2])
    assert np.array_equal(mask, volume.mask[2])


def test_training_needs_masks():
    with pytest.raises(DataError, match="Training needs a mask for every volume"):
        SliceDataset([prepared(), prepared(labelled=False)], strength=0.0, seed=0)


@given(st.integers(1, 40), st.none() | st.integers(1, 50))
def test_spread_takes_exactly_as_many_slices_as_asked(slices: int, wanted: int | None):
    index = spread(slices, wanted)
    expected = slices if wanted is None else min(slices, wanted)
    assert len(index) == len(set(index.tolist())) == expected
    assert (np.diff(index) > 0).all()
    assert index[0] >= 0
    assert index[-1] < slices
    gaps = np.diff(np.concatenate([[-1], index, [slices]]))
    assert gaps[1:-1].size == 0 or gaps[1:-1].max() - gaps[1:-1].min() <= 1, "evenly spread"


def test_per_volume_thins_every_volume():
    dataset = SliceDataset([prepared(9), prepared(2)], strength=0.0, seed=0, per_volume=3)
    assert len(dataset) == 3 + 2
    assert spread(9, 1).tolist() == [4]
    assert spread(9, 3).tolist() == [1, 4, 7]
    assert spread(4, 3).tolist() == [0, 2, 3]


def test_order_is_a_function_of_seed_and_epoch():
    assert order(numbered(12, seed=1), 5) == order(numbered(12, seed=1), 5)
    assert order(numbered(12, seed=1), 5) != order(numbered(12, seed=1), 6)
    assert order(numbered(12, seed=1), 5) != order(numbered(12, seed=2), 5)
    used = numbered(12, seed=1)
    order(used, 1)
    assert order(used, 5) == order(numbered(12, seed=1), 5), "epochs before it do not matter"
    assert sorted(order(used, 5)) == list(range(12))


def test_an_incomplete_last_batch_is_dropped_unless_it_is_the_only_one():
    assert len(order(numbered(11, seed=0), 1, batch_size=4)) == 8
    assert len(order(numbered(3, seed=0), 1, batch_size=4)) == 3


def test_workers_draw_the_same_batches():
    def batches(workers: int):
        dataset = SliceDataset([prepared()], strength=1.0, seed=0)
        return list(epoch_loader(dataset, batch_size=2, epoch=3, workers=workers))

    for here, elsewhere in zip(batches(0), batches(1), strict=True):
        assert torch.equal(here.images, elsewhere.images)
        assert torch.equal(here.labels, elsewhere.labels)


def test_batches_are_typed_as_the_losses_need_them():
    (batch,) = epoch_loader(SliceDataset([prepared()], strength=0.5, seed=0), batch_size=9, epoch=1)
    assert (batch.images.shape, batch.images.dtype) == ((4, 1, *SIZE), torch.float32)
    assert (batch.labels.shape, batch.labels.dtype) == ((4, *SIZE), torch.int64)


def test_sample_seeds_differ_in_every_part():
    seeds = {sample_seed(s, e, i) for s in range(5) for e in range(5) for i in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**32 for seed in seeds)
