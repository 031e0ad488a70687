"""Choosing and drawing slices on which two networks disagree."""

import numpy as np
import pytest

from compress.errors import DataError
from compress.report.pair_overlays import PairItem, pair_items, pick_pairs, save_pair_overlays

LABELS = {"RV": 1, "MYO": 2, "LV": 3}


def item(patient: str, *, lost: int, position: str = "slice 1 of 2", spacing=(1.0, 1.0)) -> PairItem:
    """A slice whose candidate misses the first `lost` of ten foreground rows, ten pixels wide."""
    reference = np.zeros((64, 64), np.uint8)
    reference[20:30, 20:30] = 3
    candidate = reference.copy()
    candidate[20 : 20 + lost] = 0
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    return PairItem(image, reference, reference, candidate, f"{patient}_ED", patient, position, spacing)


def test_area_is_in_square_millimetres():
    assert item("p", lost=2, spacing=(1.5, 2.0)).disagreement_mm2 == 2 * 10 * 3.0
    assert item("p", lost=0).disagreement_mm2 == 0


def test_a_different_structure_is_disagreement():
    reference = np.full((4, 4), 2)
    assert PairItem(reference, reference, reference, np.full((4, 4), 3), "p", "p").disagreement_mm2 == 16


def test_picks_the_largest_areas_of_different_patients_then_the_median():
    items = [item("a", lost=9), item("a", lost=8, position="slice 2 of 2"), item("b", lost=5), item("c", lost=1)]
    items += [item("d", lost=0), item("e", lost=4), item("f", lost=3)]
    chosen = pick_pairs(items, worst=3)
    assert [(one.patient, one.disagreement_mm2) for one in chosen] == [("a", 90), ("b", 50), ("e", 40), ("f", 30)]


@pytest.mark.parametrize("count", range(5))
def test_no_slice_is_picked_twice(count):
    chosen = pick_pairs([item(f"p{lost}", lost=lost) for lost in range(count)], worst=2)
    assert len({one.name for one in chosen}) == len(chosen) == min(count, 3)


def test_choice_does_not_depend_on_the_order():
    items = [item(f"p{i}", lost=i % 3) for i in range(9)]
    assert [i.name for i in pick_pairs(items)] == [i.name for i in pick_pairs(items[::-1])]


def test_slices_without_foreground_are_left_out():
    image, empty = np.zeros((3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8)
    found = empty.copy()
    found[1, 2, 2] = 1
    items = pair_items(image, empty, empty, found, name="p1_ED", patient="p1", spacing_mm=(10, 1.5, 1.2))
    assert [(one.position, one.spacing_mm) for one in items] == [("slice 2 of 3", (1.5, 1.2))]
    assert pick_pairs(pair_items(image, empty, empty, empty, name="p", patient="p")) == []


def test_picture_is_written_and_deterministic(tmp_path):
    items = [item("p1", lost=3, spacing=(1.0, 1.4)), item("p2", lost=0)]
    first, second = (save_pair_overlays(tmp_path / n, items, "t", LABELS).read_bytes() for n in ("a.png", "b.png"))
    assert first == second
    stamped = save_pair_overlays(tmp_path / "c.png", items, "t", LABELS, phantom=True)
    named = save_pair_overlays(tmp_path / "d.png", items, "t", LABELS, names=("$dense$", "a" * 80))
    other = save_pair_overlays(tmp_path / "e.png", [item("p1", lost=4, spacing=(1.0, 1.4)), items[1]], "t", LABELS)
    assert len({first, stamped.read_bytes(), named.read_bytes(), other.read_bytes()}) == 4


def test_unfit_items_are_refused(tmp_path):
    with pytest.raises(DataError, match="No slices"):
        save_pair_overlays(tmp_path / "a.png", [], "t", LABELS)
    square = np.zeros((4, 4), int)
    with pytest.raises(DataError, match="shapes"):
        PairItem(square, square, square, np.zeros((4, 5), int), "p", "p")
