"""Overlap metrics against hand-computed values, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compress.data.volume import check_spacing
from compress.errors import DataError
from compress.evaluate.metrics import (
    METRICS,
    Counts,
    check_masks,
    count,
    dice,
    foreground_dice,
    score_structure,
    slice_mean_dice,
    volume_ml,
)

BOOLEAN_PAIRS = st.tuples(*[hnp.arrays(bool, (2, 3, 3))] * 2)
LABEL_PAIRS = st.tuples(*[hnp.arrays(np.uint8, (2, 3, 3), elements=st.integers(0, 3))] * 2)


def test_hand_computed_case():
    # 10 voxels: predicted 0-3, referenced 2-5 -> TP 2, FP 2, FN 2, TN 4.
    prediction, reference = np.zeros(10, bool), np.zeros(10, bool)
    prediction[:4], reference[2:6] = True, True
    counts = count(prediction, reference)
    assert counts == Counts(2, 2, 2, 4)
    values = {name: metric(counts) for name, metric in METRICS.items()}
    assert values == pytest.approx({"dice": 0.5, "iou": 1 / 3, "accuracy": 0.6, "precision": 0.5, "recall": 0.5})


def test_precision_and_recall_are_not_swapped():
    counts = Counts(true_positive=1, false_positive=3, false_negative=0, true_negative=6)
    assert METRICS["precision"](counts) == 0.25
    assert METRICS["recall"](counts) == 1.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_two_empty_masks_agree(metric):
    assert metric(Counts(0, 0, 0, 8)) == 1.0


@pytest.mark.parametrize("counts", [Counts(0, 3, 0, 5), Counts(0, 0, 3, 5)], ids=["only predicted", "only referenced"])
def test_one_empty_mask_scores_zero(counts):
    assert [METRICS[name](counts) for name in ("dice", "iou", "precision", "recall")] == [0.0, 0.0, 0.0, 0.0]


@given(BOOLEAN_PAIRS)
def test_bounds_symmetry_and_order(pair):
    forward, backward = count(*pair), count(*pair[::-1])
    assert all(0.0 <= metric(forward) <= 1.0 for metric in METRICS.values())
    assert dice(forward) == dice(backward)
    assert METRICS["precision"](forward) == METRICS["recall"](backward)
    assert METRICS["iou"](forward) <= dice(forward)
    assert sum((forward.true_positive, forward.false_positive, forward.false_negative, forward.true_negative)) == 18


@given(hnp.arrays(bool, (2, 3, 3)))
def test_a_perfect_match_scores_one(mask):
    assert {metric(count(mask, mask)) for metric in METRICS.values()} == {1.0}
    assert slice_mean_dice(mask, mask) == 1.0


@given(LABEL_PAIRS)
def test_foreground_dice_is_symmetric_and_bounded(pair):
    assert 0.0 <= foreground_dice(*pair) <= 1.0
    assert foreground_dice(*pair) == foreground_dice(*pair[::-1])
    assert foreground_dice(pair[0], pair[0]) == 1.0


def test_slice_mean_skips_slices_without_the_structure():
    prediction, reference = np.zeros((3, 2, 2), bool), np.zeros((3, 2, 2), bool)
    reference[0], prediction[0] = True, True  # slice Dice 1
    reference[1, 0, :], prediction[1, 0, 0] = True, True  # 2 * 1 / 3
    assert slice_mean_dice(prediction, reference) == pytest.approx((1 + 2 / 3) / 2)
    prediction[2, 0, 0] = True  # one stray voxel costs a whole slice, while the 3D Dice hardly moves
    assert slice_mean_dice(prediction, reference) == pytest.approx((1 + 2 / 3) / 3)
    assert dice(count(prediction, reference)) == pytest.approx(10 / 12)


def test_foreground_dice_wants_the_same_label():
    reference, swapped = np.array([[1, 1, 3, 3]]), np.array([[1, 1, 2, 2]])
    assert foreground_dice(swapped, reference) == 0.5


def test_volume_counts_millilitres():
    mask = np.zeros((4, 10, 10), bool)
    mask[:2, :5, :] = True
    assert volume_ml(mask, (10.0, 1.5, 2.0)) == pytest.approx(100 * 30 / 1000)


def test_score_structure_asks_for_surfaces_only_when_given():
    mask = np.ones((1, 2, 2), bool)
    assert score_structure(mask, mask, (1, 1, 1)).hd95_mm is None
    assert score_structure(mask, mask, (1, 1, 1), lambda *_: 2.5).values()["hd95_mm"] == 2.5


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), r"\(1, 2, 2\), the reference \(1, 2, 3\)"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2), int), "float64; label masks are integers"),
        (np.zeros((0, 2, 2), int), np.zeros((0, 2, 2), int), "prediction is empty"),
    ],
)
def test_unfit_masks_are_refused(prediction, reference, message):
    with pytest.raises(DataError, match=message):
        check_masks(prediction, reference)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)])
def test_unfit_spacing_is_refused(spacing):
    with pytest.raises(DataError, match="three positive lengths"):
        check_spacing(spacing, "The mask")
