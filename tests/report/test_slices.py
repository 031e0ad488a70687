"""Which slices there are, how far two masks on one disagree, and which are chosen."""

from pathlib import Path

import numpy as np
import pytest
from slice_kit import slice_with

from compress.data.volume import Case, Volume
from compress.errors import DataError
from compress.report.slices import SlicePicture, pick_pairs, pick_slices, slices_of

CASE = Case("p1", "ED", Path(), None)


def pair(patient: str, *, lost: int, position: str = "") -> SlicePicture:
    return slice_with(patient, lost=lost, networks=2, position=position)


def test_slices_without_foreground_are_left_out():
    image, empty = np.zeros((3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8)
    found = empty.copy()
    found[1, 2, 2] = 1
    volume = Volume(CASE, image, empty, (10, 1.5, 1.2), np.eye(4))
    (only,) = slices_of(volume, [empty, found])
    assert (only.case, only.position, only.pixel_mm) == (CASE, "slice 2 of 3", (1.5, 1.2))
    assert only.dice == (1.0, 0.0)
    assert not list(slices_of(volume, [empty]))


@pytest.mark.parametrize("networks", [1, 2])
def test_the_area_of_disagreement_is_in_square_millimetres(networks):
    assert slice_with(lost=2, networks=networks, pixel=(1.5, 2.0)).disagreement_mm2 == 2 * 10 * 3.0
    assert slice_with(networks=networks).disagreement_mm2 == 0


def test_a_different_structure_is_disagreement():
    reference = np.full((4, 4), 2)
    assert SlicePicture(reference, reference, (np.full((4, 4), 3),), CASE).disagreement_mm2 == 16


def test_masks_of_another_shape_are_refused():
    square = np.zeros((4, 4), int)
    with pytest.raises(DataError, match=r"'p1_ED'.*shapes"):
        SlicePicture(square, square, (square, np.zeros((4, 5), int)), CASE)


def test_picks_best_median_and_worst():
    chosen = pick_slices([slice_with(f"p{lost}", lost=lost) for lost in (3, 0, 4, 1, 2)], 1)
    patients = {kind: [one.case.patient for one in items] for kind, items in chosen.items()}
    assert patients == {"best": ["p0"], "median": ["p2"], "worst": ["p4"]}


@pytest.mark.parametrize("count", range(8))
def test_no_slice_is_picked_twice(count):
    chosen = pick_slices([slice_with(f"p{lost}", lost=lost) for lost in range(count)], 2)
    patients = [one.case.patient for items in chosen.values() for one in items]
    assert len(patients) == len(set(patients)) == min(count, 6)


def test_picks_the_largest_areas_of_different_patients_then_the_median():
    items = [pair("a", lost=9, position="slice 1 of 2"), pair("a", lost=8, position="slice 2 of 2")]
    items += [pair(patient, lost=lost) for patient, lost in [("b", 5), ("c", 1), ("d", 0), ("e", 4), ("f", 3)]]
    chosen = pick_pairs(items, worst=3)
    assert [(one.case.patient, one.disagreement_mm2) for one in chosen] == [("a", 90), ("b", 50), ("e", 40), ("f", 30)]


@pytest.mark.parametrize("count", range(5))
def test_no_pair_is_picked_twice(count):
    chosen = pick_pairs([pair(f"p{lost}", lost=lost) for lost in range(count)], worst=2)
    assert len({one.case.patient for one in chosen}) == len(chosen) == min(count, 3)


def test_the_choice_does_not_depend_on_the_order():
    items = [pair(f"p{number}", lost=number % 3) for number in range(9)]
    assert [one.case for one in pick_pairs(items)] == [one.case for one in pick_pairs(items[::-1])]
