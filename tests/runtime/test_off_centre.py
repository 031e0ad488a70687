"""A heart off the slices' centre: what the window cuts is looked for again where it lies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from compress.data.layouts import find_cases, read_volume
from compress.data.preprocess import Preprocessing
from compress.data.volume import Volume
from compress.runtime.predict import Found, find

RULES = Preprocessing((1.5, 1.5), (120, 120), (0.0, 100.0), recentre=2)


@pytest.fixture(scope="module")
def phantom(tiny_phantom: Path) -> Volume:
    """A phantom in the middle, whose image is its own mask, all structures alike, so that a threshold finds it."""
    volume = read_volume(find_cases(tiny_phantom)[0])
    assert volume.mask is not None
    ends = [np.flatnonzero(volume.mask.any(axes))[[0, -1]] for axes in ((0, 2), (0, 1))]
    off = [(n - 1) / 2 - place.mean() for n, place in zip(volume.mask.shape[1:], ends, strict=True)]
    heart = replace(volume, image=(volume.mask > 0).astype(np.float32))
    return off_centre(heart, (off[0] * volume.spacing[1], off[1] * volume.spacing[2]))


def off_centre(volume: Volume, mm: tuple[float, float]) -> Volume:
    steps = [round(far / size) for far, size in zip(mm, volume.spacing[1:], strict=True)]
    image, mask = (np.roll(array, steps, (1, 2)) for array in (volume.image, volume.mask))
    return replace(volume, image=image, mask=mask)


def read_labels(images: np.ndarray) -> np.ndarray:
    """The "network": grey levels as the scores of the heart."""
    grey = images[:, 0] - (images.min() + images.max()) / 2
    return np.stack([-grey, grey], axis=1)


def found_in(volume: Volume, rules: Preprocessing) -> Found:
    look = partial(rules.forward, volume)
    return find(read_labels, look, recentre=rules.recentre, batch_size=100)


def slice_areas(mask: np.ndarray) -> np.ndarray:
    return mask.sum((1, 2), dtype=int)


@pytest.mark.parametrize("mm", [(0, 40), (0, -40), (-45, 40), (50, 0)])
def test_the_phantom_moved_by_40_mm_has_nearly_the_same_volumes(phantom: Volume, mm: tuple[float, float]) -> None:
    moved = off_centre(phantom, mm)
    centred, found = found_in(phantom, RULES), found_in(moved, RULES)
    cut = found_in(moved, replace(RULES, recentre=0))
    np.testing.assert_allclose(slice_areas(found.mask), slice_areas(centred.mask), rtol=0.02)
    assert cut.mask.sum() < 0.99 * centred.mask.sum(), "without the rule the phantom is cut"
    assert found.moves and not found.cut
    assert cut.cut and not cut.moves


def test_a_heart_in_the_window_stays_where_it_is(phantom: Volume) -> None:
    rules = replace(RULES, size=(96, 96))
    found = found_in(phantom, rules)
    assert (found.moves, found.cut) == ((), ())
    np.testing.assert_array_equal(found.mask, found_in(phantom, replace(rules, recentre=0)).mask)


def test_a_heart_larger_than_the_window_is_looked_for_twice_at_most_and_said_to_be_cut(phantom: Volume) -> None:
    looks = []

    def look(moved: tuple[int, int]):
        looks.append(moved)
        return rules.forward(phantom, moved)

    rules = replace(RULES, size=(32, 32))
    found = find(read_labels, look, recentre=2, batch_size=100)
    assert 1 <= len(looks) <= 3
    assert len(found.moves) == len(looks) - 1
    assert found.cut
