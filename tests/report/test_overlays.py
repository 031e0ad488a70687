"""Choosing, cropping and drawing slices."""

import numpy as np
import pytest

from compress.errors import DataError
from compress.report.overlays import SliceItem, crop_box, disagreement, pick_slices, save_overlays, slice_items
from compress.report.style import CONFUSED, EXTRA, MISSED

LABELS = {"RV": 1, "MYO": 2, "LV": 3}


def item(caption: str = "p1", *, lost: int = 0, size: int = 64, spacing=(1.0, 1.0)) -> SliceItem:
    """A slice whose prediction misses the first `lost` of ten foreground rows."""
    reference = np.zeros((size, size), np.uint8)
    reference[20:30, 20:30], reference[20:30, 30:36] = 3, 2
    prediction = reference.copy()
    prediction[20 : 20 + lost] = 0
    image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    return SliceItem(image, reference, prediction, caption, spacing)


def test_picks_best_median_and_worst():
    chosen = pick_slices([item(f"p{lost}", lost=lost) for lost in (3, 0, 4, 1, 2)], 1)
    assert {name: [found.caption for found in items] for name, items in chosen.items()} == {
        "best": ["p0"],
        "median": ["p2"],
        "worst": ["p4"],
    }


@pytest.mark.parametrize("count", range(8))
def test_no_slice_is_picked_twice(count):
    chosen = pick_slices([item(f"p{lost}", lost=lost) for lost in range(count)], 2)
    captions = [found.caption for items in chosen.values() for found in items]
    assert len(captions) == len(set(captions)) == min(count, 6)


def test_slices_without_foreground_are_left_out():
    image, empty = np.zeros((3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8)
    prediction = empty.copy()
    prediction[1, 2, 2] = 1
    found = slice_items(image, empty, prediction, name="p1 ED", spacing_mm=(10, 1.5, 1.2))
    assert [(one.caption, one.spacing_mm, one.dice) for one in found] == [("p1 ED\nslice 2 of 3", (1.5, 1.2), 0.0)]
    nothing = SliceItem(image[0], empty[0], empty[0], "nothing")
    assert pick_slices([nothing], 2) == {"best": [], "median": [], "worst": []}


def test_crop_is_square_in_millimetres_and_holds_the_heart():
    rows, columns = crop_box(item(size=300, spacing=(1.0, 2.0)))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (90, 45)
    assert rows.start <= 20 and rows.stop >= 30 and columns.start <= 20 and columns.stop >= 36


def test_crop_stays_inside_a_small_image():
    rows, columns = crop_box(item(size=40))
    assert (rows, columns) == (slice(0, 40), slice(0, 40))


def test_disagreement_parts():
    found = disagreement(np.array([[1, 1, 0, 2]]), np.array([[1, 0, 3, 3]]))
    assert {colour: mask.tolist() for colour, mask in found.items()} == {
        MISSED: [[False, True, False, False]],
        EXTRA: [[False, False, True, False]],
        CONFUSED: [[False, False, False, True]],
    }


def test_overlay_is_written_and_deterministic(tmp_path):
    items = [item("p1\nslice 1 of 2", lost=3, spacing=(1.0, 1.4)), item("perfect")]
    paths = [save_overlays(tmp_path / name, items, "Worst", LABELS) for name in ("a.png", "b.png")]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"Software" not in first and b"tIME" not in first
    stamped = save_overlays(tmp_path / "c.png", items, "Worst", LABELS, phantom=True)
    further = save_overlays(tmp_path / "d.png", [items[1], items[1]], "Worst", LABELS)
    assert len({first, stamped.read_bytes(), further.read_bytes()}) == 3


def test_an_empty_prediction_and_foreign_labels_can_be_drawn(tmp_path):
    labels = {"scar": 3, "muscle": 2}
    empty, whole = (save_overlays(tmp_path / f"{n}.png", [item(lost=n)], "t", labels).read_bytes() for n in (10, 0))
    assert empty != whole


def test_unfit_items_are_refused(tmp_path):
    with pytest.raises(DataError, match="No slices"):
        save_overlays(tmp_path / "a.png", [], "t", LABELS)
    with pytest.raises(DataError, match="shapes"):
        SliceItem(np.zeros((4, 4)), np.zeros((4, 4), int), np.zeros((4, 5), int), "p1")
