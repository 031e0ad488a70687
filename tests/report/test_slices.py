"""Which slices there are, which are chosen, and drawing them with the masks of one network or two."""

from pathlib import Path

import numpy as np
import pytest

from compress.data.volume import ACDC_LABELS, Case, Volume
from compress.errors import DataError
from compress.report.slice_pictures import crop_box, disagreement, save_slices
from compress.report.slices import SlicePicture, pick_pairs, pick_slices, slices_of
from compress.report.style import CONFUSED, EXTRA, MISSED

CASE = Case("p1", "ED", Path(), None)


def slice_with(
    patient: str = "p1", *, lost: int = 0, networks: int = 1, size: int = 64, position: str = "", pixel=(1.0, 1.0)
) -> SlicePicture:
    """A slice whose last network misses the first `lost` of ten foreground rows, ten pixels wide."""
    reference = np.zeros((size, size), np.uint8)
    reference[20:30, 20:26], reference[20:30, 26:30] = 3, 2
    last = reference.copy()
    last[20 : 20 + lost] = 0
    image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    masks = (*[reference] * (networks - 1), last)
    return SlicePicture(image, reference, masks, Case(patient, "ED", Path(), None), position, pixel)


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
    items = [slice_with("a", lost=9, position="slice 1 of 2"), slice_with("a", lost=8, position="slice 2 of 2")]
    items += [slice_with(patient, lost=lost) for patient, lost in zip("bcdef", (5, 1, 0, 4, 3), strict=True)]
    chosen = pick_pairs(items, worst=3)
    assert [(one.case.patient, one.disagreement_mm2) for one in chosen] == [("a", 90), ("b", 50), ("e", 40), ("f", 30)]


@pytest.mark.parametrize("count", range(5))
def test_no_pair_is_picked_twice(count):
    chosen = pick_pairs([slice_with(f"p{lost}", lost=lost) for lost in range(count)], worst=2)
    assert len({one.case.patient for one in chosen}) == len(chosen) == min(count, 3)


def test_the_choice_does_not_depend_on_the_order():
    items = [slice_with(f"p{number}", lost=number % 3) for number in range(9)]
    assert [one.case for one in pick_pairs(items)] == [one.case for one in pick_pairs(items[::-1])]


def test_crop_is_square_in_millimetres_and_holds_the_heart():
    rows, columns = crop_box(slice_with(size=300).foreground, (1.0, 2.0))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (90, 45)
    assert rows.start <= 20 and rows.stop >= 30 and columns.start <= 20 and columns.stop >= 30


def test_crop_stays_inside_a_small_image():
    assert crop_box(slice_with(size=40).foreground, (1.0, 1.0)) == (slice(0, 40), slice(0, 40))


def test_disagreement_parts():
    found = disagreement(np.array([[1, 1, 0, 2]]), np.array([[1, 0, 3, 3]]))
    assert {colour: mask.tolist() for colour, mask in found.items()} == {
        MISSED: [[False, True, False, False]],
        EXTRA: [[False, False, True, False]],
        CONFUSED: [[False, False, False, True]],
    }


@pytest.mark.parametrize("columns", [("Prediction",), ("dense", "pruned")])
def test_a_picture_follows_its_slices_names_and_stamp_alone(tmp_path, columns):
    networks = len(columns)
    items = [slice_with(lost=3, networks=networks, pixel=(1.0, 1.4)), slice_with("perfect", networks=networks)]

    def drawn(items=items, columns=columns, *, phantom=False):
        path = save_slices(tmp_path / "a.png", items, "t", ACDC_LABELS, columns=columns, phantom=phantom)
        return path.read_bytes()

    first = drawn()
    others = drawn(items[1:] * 2), drawn(columns=("$dense$", "a" * 80)[-networks:]), drawn(phantom=True)
    assert drawn() == first and len({first, *others}) == 4
    assert b"Software" not in first and b"tIME" not in first


def test_an_empty_prediction_and_foreign_labels_can_be_drawn(tmp_path):
    labels = {"scar": 3, "muscle": 2}
    empty, whole = (
        save_slices(tmp_path / f"{lost}.png", [slice_with(lost=lost)], "t", labels).read_bytes() for lost in (10, 0)
    )
    assert empty != whole


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(DataError, match="No slices"):
        save_slices(tmp_path / "a.png", [], "t", ACDC_LABELS)
