"""Cropping slices, and drawing them with the masks of one network or two."""

import numpy as np
import pytest
from slice_kit import slice_with

from compress.errors import DataError
from compress.report.slice_pictures import crop_box, disagreement, save_slices
from compress.report.style import CONFUSED, EXTRA, MISSED

LABELS = {"RV": 1, "MYO": 2, "LV": 3}


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
        path = save_slices(tmp_path / "a.png", items, "t", LABELS, columns=columns, phantom=phantom)
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
        save_slices(tmp_path / "a.png", [], "t", LABELS)
