"""What the demo says of its own gate; the demo itself takes minutes and is not run here."""

from __future__ import annotations

from pathlib import Path

from cli.demo import gate_settings
from compress.config import Gate, GateLimits
from compress.config.read import from_document
from compress.config.templates import demo_document


def test_every_setting_that_is_not_the_default_is_named_with_both_values():
    gate = Gate(min_patients=6, limits=GateLimits(patient_dice=0.2))
    expected = "gate.limits.patient_dice 0.2 instead of 0.1; gate.min_patients 6 instead of 10"
    assert gate_settings(gate) == f"The gate's settings: {expected}."


def test_a_gate_left_alone_is_said_to_be_so():
    assert "all at their default" in gate_settings(Gate())


def test_the_demo_keeps_what_dice_and_mass_may_lose_and_says_where_its_gate_is_laxer(tmp_path: Path):
    gate = from_document(demo_document(str(tmp_path))).gate
    assert (gate.margins.dice, gate.margins.mass_g) == (Gate().margins.dice, Gate().margins.mass_g)
    assert (gate.confidence, gate.min_patients) == (Gate().confidence, Gate().min_patients)
    said = gate_settings(gate)
    assert f"gate.margins.ef_points {gate.margins.ef_points} instead of {Gate().margins.ef_points}" in said
    assert f"gate.limits.patient_ef_points {gate.limits.patient_ef_points} instead of" in said
