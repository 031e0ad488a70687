"""Verdicts on made-up cohorts: what is accepted, what is refused and why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gate_kit import REFERENCE_ML, STRUCTURES, names, report
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.config import Gate
from compress.errors import DataError
from compress.evaluate.judging import judge
from compress.evaluate.paired import JUDGED, paired_endpoints
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Named, Verdict
from compress.evaluate.verdict_table import markdown

QUICK = {"resamples": 1000}
FILES = (Named("dense", "a" * 64), Named("small", "b" * 64))
EVERY = [(patient, phase, name) for patient in names(20) for phase in REFERENCE_ML for name in STRUCTURES]


def verdict(baseline: EvaluationReport, candidate: EvaluationReport, *, phantom: bool = False, **given: Any) -> Verdict:
    settings = Gate.model_validate({**QUICK, **given})
    return judge(baseline, candidate, settings, names=FILES, data="d" * 64, phantom=phantom)


def with_losses(losses: np.ndarray) -> EvaluationReport:
    """Every structure of patient i at both phases has losses[i] less Dice."""
    changed = {key: {"dice": 0.9 - losses[int(key[0][1:])]} for key in EVERY}
    return report(changes=changed)


def failed(found: Verdict) -> list[str]:
    return [row.name for row in (*found.endpoints, *found.limits) if not row.passed]


def test_a_network_against_itself_is_accepted() -> None:
    found = verdict(report(), report())
    assert found.accepted and found.reasons == () and failed(found) == []
    assert {(row.difference, row.low, row.high) for row in found.endpoints} == {(0.0, 0.0, 0.0)}
    assert [row.name for row in found.endpoints] == [
        *(f"Dice {name}" for name in STRUCTURES),
        *(f"HD95 {name}" for name in STRUCTURES),
        *(f"{name} error" for name in JUDGED),
    ]
    assert (found.patients, found.volumes) == (20, 40)
    assert "Accepted: small is no worse than dense" in found.sentence
    assert "none of these 20 patients" in found.caveat and "14% of patients like them (95% confidence)" in found.caveat


def test_one_patient_whose_ventricle_is_twice_too_large_is_refused() -> None:
    """The mean lost 0.005 only: one LV at end-systole was 109 ml instead of 50 ml."""
    bad = report(changes={("p03", "ES", "LV"): {"prediction_ml": 109.0, "dice": 0.6}})
    found = verdict(report(), bad)
    assert report().mean_dice - bad.mean_dice < 0.005
    assert not found.accepted
    assert {"worst patient", "worst patient's volume"} <= set(failed(found))
    assert "p03 LV ESV: 109.0 ml, baseline 50.0 ml, reference 50.0 ml" in found.why + "; ".join(found.reasons)


@pytest.mark.parametrize(
    ("changes", "limit", "what"),
    [
        ({("p03", "ES", "LV"): {"dice": 0.6}}, "worst patient", "p03 LV"),
        ({("p03", "ED", "RV"): {"prediction_ml": 160.0}}, "worst patient's volume", "p03 RV EDV"),
        ({("p03", "ES", "LV"): {"prediction_ml": 70.0}}, "worst patient's EF", "p03 LV EF"),
        ({("p03", "ED", "MYO"): {"prediction_ml": 170.0}}, "worst patient's mass", "p03 MYO mass"),
        ({("p03", "ES", "RV"): {"prediction_ml": 0.0}}, "structures no longer found", "p03_ES RV"),
        ({key: {"dice": 0.86} for key in EVERY if key[1:] == ("ES", "RV")}, "worst structure", "RV at ES"),
        ({key: {"dice": 0.86} for key in EVERY if int(key[0][1:]) % 5 == 2}, "worst disease group", "DCM"),
    ],
)  # fmt: skip
def test_every_limit_names_what_is_bad(changes: Any, limit: str, what: str) -> None:
    found = verdict(report(), report(changes=changes))
    row = next(row for row in found.limits if row.name == limit)
    assert not row.passed and row.what.startswith(what), row
    assert any(reason.startswith(limit) for reason in found.reasons)
    assert next(row for row in verdict(report(), report()).limits if row.name == limit).passed


def test_a_structure_that_the_candidate_lost_is_counted_and_named() -> None:
    lost = {"prediction_ml": 0.0, "hd95_mm": None, "dice": 0.0}
    found = verdict(report(), report(changes={("p03", "ES", "RV"): lost}))
    row = next(row for row in found.endpoints if row.name == "HD95 RV")
    assert (row.n, row.omitted) == (20, 0), "its other phase still counts"
    both = {("p03", phase, "RV"): lost for phase in REFERENCE_ML}
    row = next(row for row in verdict(report(), report(changes=both)).endpoints if row.name == "HD95 RV")
    assert (row.n, row.omitted) == (19, 1)


def test_what_the_baseline_lacks_is_omitted_and_no_loss() -> None:
    empty = {("p03", phase, "RV"): {"prediction_ml": 0.0, "hd95_mm": None, "dice": 0.0} for phase in REFERENCE_ML}
    found = verdict(report(changes=empty), report())
    row = next(row for row in found.endpoints if row.name == "HD95 RV")
    assert (row.n, row.omitted, row.passed) == (19, 1, True)
    assert found.accepted


def test_a_value_that_too_few_patients_have_passes_nothing() -> None:
    empty = {(p, phase, "RV"): {"hd95_mm": None} for p in names(20)[:15] for phase in REFERENCE_ML}
    found = verdict(report(changes=empty), report(changes=empty))
    assert failed(found) == ["HD95 RV"]
    assert found.reasons == ("HD95 RV: only 5 patients have a value (15 have none), 10 needed",)


def test_a_patient_without_a_phase_is_omitted_where_it_counts() -> None:
    whole = report()
    half = EvaluationReport(tuple(v for v in whole.volumes if v.name != "p00_ES"))
    found = {row.name: row for row in verdict(half, half).endpoints}
    assert (found["Dice RV"].n, found["LV EDV error"].omitted) == (20, 0)
    assert (found["LV EF error"].n, found["LV EF error"].omitted, found["LV EF error"].passed) == (19, 1, True)


def test_too_few_patients_and_other_volumes_are_refused() -> None:
    with pytest.raises(DataError, match=r"holds 9 patients; the gate needs at least 10 \(gate\.min_patients\)"):
        verdict(report(9), report(9))
    assert verdict(report(6), report(6), min_patients=6).accepted
    with pytest.raises(DataError, match="same volumes: p10_ED"):
        verdict(report(10), report(11))
    with pytest.raises(ValueError, match="min_patients"):
        verdict(report(), report(), min_patients=5)


def test_a_mean_within_the_margin_is_not_enough() -> None:
    losses = np.where(np.arange(20) % 2, 0.05, -0.036)  # on average 0.007
    found = verdict(report(), with_losses(losses))
    assert "Dice RV" in failed(found)
    assert any(reason.startswith("Dice RV is not shown to hold (it may be lower by up to") for reason in found.reasons)
    found = verdict(report(), with_losses(np.full(20, 0.02)))
    assert any(reason.startswith("Dice RV is lower by 0.0200") for reason in found.reasons)


def test_a_better_candidate_is_accepted_however_much_better() -> None:
    assert verdict(report(dice=0.7), report(dice=0.95)).accepted


@settings(max_examples=25)
@given(losses=st.lists(st.floats(-0.03, 0.03), min_size=20, max_size=20), margin=st.floats(0.001, 0.05))
def test_a_wider_margin_never_turns_accepted_into_refused(losses: list[float], margin: float) -> None:
    candidate = with_losses(np.array(losses))
    narrow = verdict(report(), candidate, margins={"dice": margin})
    wide = verdict(report(), candidate, margins={"dice": 1.5 * margin})
    assert set(failed(wide)) <= set(failed(narrow))


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), spread=st.floats(0.0, 0.02))
def test_the_order_of_patients_changes_no_verdict(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    base, candidate = report(), with_losses(spread * rng.standard_normal(20))
    order = rng.permutation(len(base.volumes))
    shuffled = EvaluationReport(tuple(candidate.volumes[i] for i in order))
    endpoints = verdict(base, candidate).endpoints
    for first, second in zip(endpoints, verdict(base, shuffled).endpoints, strict=True):
        assert (first.low, first.high, first.passed) == (second.low, second.high, second.passed)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), phantom=st.booleans())
def test_a_verdict_survives_json(seed: int, phantom: bool) -> None:
    candidate = with_losses(0.02 * np.random.default_rng(seed).standard_normal(20))
    found = verdict(report(), candidate, phantom=phantom)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Verdict.from_json(json.loads(text)) == found
    assert found.accepted == (not failed(found)) == (not found.reasons)
    assert ("phantom" in markdown(found)) == ("phantom" in found.sentence) == phantom


@pytest.mark.parametrize(
    "damage",
    [{}, {"accepted": "perhaps"}, {"accepted": {"yes": 1}}, {"endpoints": 3}, {"endpoints": [{}]}, {"schema": 99}],
)
def test_a_damaged_verdict_is_refused(damage: dict[str, Any]) -> None:
    whole = verdict(report(), report()).to_json()
    with pytest.raises(DataError, match="schema 99" if "schema" in damage else "Not a verdict"):
        Verdict.from_json({**whole, **damage} if damage else {})


def test_distances_must_have_been_measured() -> None:
    from dataclasses import replace

    bare = EvaluationReport(tuple(replace(v, surface_measured=False) for v in report().volumes))
    with pytest.raises(DataError, match="HD95 was not measured"):
        paired_endpoints(bare, bare)
