"""Volume scores and the report over them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from compress.data.volume import ACDC_LABELS
from compress.errors import DataError
from compress.evaluate.summary import ALL_PHASES, MEAN, EvaluationReport, evaluate, score_volume

SPACING = (10.0, 1.0, 2.0)


def heart() -> np.ndarray:
    mask = np.zeros((4, 12, 12), np.uint8)
    mask[:, 1:4, 1:9] = 1
    mask[:, 5:11, 2:10] = 2
    mask[:, 6:10, 4:8] = 3
    return mask


def score(patient="p1", phase="ED", *, shift=0, group="NOR", surface=None, lose=None):
    reference = heart()
    prediction = np.roll(reference, shift, axis=2)
    prediction[prediction == lose] = 0
    return score_volume(
        prediction,
        reference,
        spacing_mm=SPACING,
        labels=ACDC_LABELS,
        patient=patient,
        phase=phase,
        group=group,
        surface=surface,
    )


def report() -> EvaluationReport:
    surface = lambda p, r, _: 5.0 if p.any() and r.any() else None  # noqa: E731
    return evaluate(
        [
            score("p1", "ED", surface=surface),
            score("p1", "ES", shift=1, surface=surface),
            score("p2", "ED", shift=1, group="DCM", surface=surface),
            score("p2", "ES", lose=3, group="DCM", surface=surface),
        ]
    )


def test_score_of_a_known_shift():
    found = score(shift=1)
    assert found.structures["RV"].overlap["dice"] == pytest.approx(7 / 8)
    assert found.structures["LV"].overlap["dice"] == pytest.approx(3 / 4)
    assert found.structures["LV"].slice_dice == pytest.approx(3 / 4)
    assert found.structures["LV"].reference_ml == pytest.approx(4 * 16 * 20 / 1000)
    assert not found.surface_measured


def test_mean_dice_averages_volumes_and_structures():
    found = report()
    every = [s.overlap["dice"] for volume in found.volumes for s in volume.structures.values()]
    assert found.mean_dice == pytest.approx(np.mean(every))
    assert found.mean_dice == pytest.approx(np.mean(list(found.structure_dice.values())))
    assert (found.best.name, found.worst.name) == ("p1_ED", "p2_ES")
    assert found.group_dice["NOR"] > found.group_dice["DCM"]


def test_table_rows():
    rows = {(row.phase, row.structure): row for row in report().table()}
    assert list(rows) == [(phase, name) for phase in ("ED", "ES", ALL_PHASES) for name in (*ACDC_LABELS, MEAN)]
    lv = rows["ED", "LV"]
    assert (lv.n, lv.mean["dice"]) == (2, pytest.approx(0.875))
    assert lv.sd["dice"] == pytest.approx(np.std([1.0, 0.75], ddof=1))
    assert (rows["ES", "LV"].undefined_hd95, rows["ES", "LV"].mean["hd95_mm"]) == (1, 5.0)
    assert (rows["ES", MEAN].undefined_hd95, rows["ES", "RV"].undefined_hd95) == (1, 0)
    assert rows[ALL_PHASES, MEAN].mean["dice"] == pytest.approx(report().mean_dice)


def test_without_surfaces_nothing_counts_as_undefined():
    row = evaluate([score()]).table()[0]
    assert (row.mean["hd95_mm"], row.undefined_hd95, row.sd["dice"]) == (None, 0, None)


def test_one_phase_has_no_extra_block():
    assert {row.phase for row in evaluate([score(phase="")]).table()} == {""}


def test_json_round_trip_is_exact_and_without_nan():
    found = report()
    text = json.dumps(found.to_json(), allow_nan=False)
    back = EvaluationReport.from_json(json.loads(text))
    assert back == found
    assert json.dumps(back.to_json()) == text
    assert json.loads(text) == found.to_json()


def test_markdown_shows_every_table():
    text = report().to_markdown()
    assert "| ED | LV | 2 | 0.875 ± 0.177 |" in text
    for part in ("| DCM |", "LV EF", "MYO mass", "HD95 undefined", "worst p2_ES"):
        assert part in text


def test_clinical_numbers_reach_the_report():
    found = report().clinical()
    assert (found["LV EDV"].n, found["LV EDV"].bias) == (2, 0.0)
    assert found["LV ESV"].bias == pytest.approx(-4 * 16 * 20 / 1000 / 2)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda: [], "No volumes"),
        (lambda: [score(), score()], "more than once: p1_ED"),
        (lambda: [score(), score_volume(heart(), heart(), spacing_mm=SPACING, labels={"LV": 3}, patient="q", phase="")],
         "q has structures"),
    ],
)  # fmt: skip
def test_unfit_score_lists_are_refused(scores, message):
    with pytest.raises(DataError, match=message):
        evaluate(scores())


def test_slices_are_not_volumes():
    with pytest.raises(DataError, match=r"need \(Z, Y, X\)"):
        score_volume(heart()[0], heart()[0], spacing_mm=SPACING, labels=ACDC_LABELS, patient="p", phase="")


@pytest.mark.parametrize("value", [{}, {"volumes": [{"patient": "p"}]}, {"volumes": [3]}, {"volumes": None}])
def test_damaged_json_is_refused(value):
    with pytest.raises(DataError, match="Not an evaluation report"):
        EvaluationReport.from_json(value)


def test_the_summary_never_loads_torch():
    code = "import sys, compress.evaluate.summary; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
