"""Two networks on the same patients: what each quantity was per patient, side by side.

The unit of every statistic is the patient, never the volume: ED and ES of one heart are no two observations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES, clinical_pairs
from compress.evaluate.summary import EvaluationReport, VolumeScore

Kind = Literal["dice", "hd95_mm", "volume_ml", "ef_points", "mass_g"]
"""What an endpoint measures; the margins go by these names."""

KIND_OF_UNIT: dict[str, Kind] = {"ml": "volume_ml", "%": "ef_points", "g": "mass_g"}
"""Unit of a clinical quantity -> its kind."""

JUDGED = tuple(name for name in QUANTITIES if not name.endswith(" SV"))
"""Clinical quantities that are compared. The stroke volume is EDV - ESV, which are both there."""

_SAME_ML = 1e-6


@dataclass(frozen=True)
class Paired:
    """One endpoint of every patient for whom both networks have a value."""

    name: str
    """Such as "Dice RV", "HD95 LV" or "LV EF error"."""
    kind: Kind
    unit: str
    worse: Literal["lower", "higher"]
    patients: tuple[str, ...]
    baseline: np.ndarray
    """(n,) values in `unit`: Dice, mm, or the absolute error against the reference."""
    candidate: np.ndarray
    """(n,), the same patients in the same order."""
    omitted: int
    """Patients without a value: a phase is missing, or a mask is empty."""

    @property
    def differences(self) -> np.ndarray:
        """(n,) candidate - baseline."""
        return self.candidate - self.baseline


@dataclass(frozen=True)
class ClinicalValue:
    """One clinical quantity of one patient, three times, in the quantity's unit."""

    patient: str
    quantity: str
    baseline: float
    candidate: float
    reference: float

    @property
    def errors(self) -> tuple[float, float]:
        """Absolute errors of baseline and candidate."""
        return abs(self.baseline - self.reference), abs(self.candidate - self.reference)


Pair = tuple[VolumeScore, VolumeScore]
"""One volume, scored for the baseline and for the candidate."""


def volume_pairs(baseline: EvaluationReport, candidate: EvaluationReport) -> dict[str, list[Pair]]:
    """Patient -> the scores of each of its volumes. Raises `DataError` unless both reports are of the same volumes."""
    others = {volume.name: volume for volume in candidate.volumes}
    apart = sorted(others.keys() ^ {volume.name for volume in baseline.volumes})
    if apart:
        raise DataError(
            f"The two networks were not scored on the same volumes: {', '.join(apart[:5])} in one alone.",
            cure="Score both on one cohort.",
        )
    patients: dict[str, list[Pair]] = {}
    for volume in baseline.volumes:
        pair = volume, others[volume.name]
        _check_pair(*pair)
        patients.setdefault(volume.patient, []).append(pair)
    return patients


def paired_endpoints(baseline: EvaluationReport, candidate: EvaluationReport) -> list[Paired]:
    """Every endpoint of the gate: Dice and HD95 per structure, then the error of every clinical quantity.

    A patient's Dice is the mean over its phases, its HD95 the mean over the phases in which both networks have one.
    Raises `DataError` as `volume_pairs` does, and when HD95 was not measured.
    """
    patients = volume_pairs(baseline, candidate)
    if not all(volume.surface_measured for volume in (*baseline.volumes, *candidate.volumes)):
        raise DataError("HD95 was not measured for every volume.", cure="Score with surface distances.")
    found = [_dice(patients, name) for name in baseline.structures]
    found += [_hd95(patients, name) for name in baseline.structures]
    values = list(clinical_values(baseline, candidate))
    judged = [name for name in JUDGED if name.split()[0] in baseline.structures]
    return found + [_clinical([v for v in values if v.quantity == name], name, len(patients)) for name in judged]


def clinical_values(baseline: EvaluationReport, candidate: EvaluationReport) -> Iterator[ClinicalValue]:
    """Every clinical quantity of every patient for whom both networks and the reference have it."""
    sides = [clinical_pairs(report.phase_volumes()) for report in (baseline, candidate)]
    for name in JUDGED:
        others = {pair.patient: pair for pair in sides[1][name]}
        for pair in sides[0][name]:
            if pair.patient in others:
                yield ClinicalValue(
                    pair.patient, name, pair.prediction, others[pair.patient].prediction, pair.reference
                )


def _check_pair(baseline: VolumeScore, candidate: VolumeScore) -> None:
    references = [{name: s.reference_ml for name, s in v.structures.items()} for v in (baseline, candidate)]
    same = references[0].keys() == references[1].keys() and (baseline.group, baseline.phase) == (
        candidate.group,
        candidate.phase,
    )
    if not same or any(abs(references[0][name] - references[1][name]) > _SAME_ML for name in references[0]):
        raise DataError(
            f"{baseline.name} has another reference for the baseline than for the candidate.",
            cure="Score both on one cohort.",
        )


def _dice(patients: dict[str, list[Pair]], structure: str) -> Paired:
    rows = [[[v.structures[structure].overlap["dice"] for v in pair] for pair in pairs] for pairs in patients.values()]
    means = np.array([np.mean(row, axis=0) for row in rows])
    return Paired(f"Dice {structure}", "dice", "", "lower", tuple(patients), means[:, 0], means[:, 1], 0)


def _hd95(patients: dict[str, list[Pair]], structure: str) -> Paired:
    known = {}
    for patient, pairs in patients.items():
        both = [[v.structures[structure].hd95_mm for v in pair] for pair in pairs]
        if both := [row for row in both if None not in row]:
            known[patient] = np.mean(np.array(both, dtype=float), axis=0)
    means = np.array(list(known.values())).reshape(-1, 2)
    omitted = len(patients) - len(known)
    return Paired(f"HD95 {structure}", "hd95_mm", "mm", "higher", tuple(known), means[:, 0], means[:, 1], omitted)


def _clinical(values: list[ClinicalValue], quantity: str, patients: int) -> Paired:
    errors = np.array([value.errors for value in values]).reshape(-1, 2)
    unit = QUANTITIES[quantity].unit
    return Paired(
        f"{quantity} error",
        KIND_OF_UNIT[unit],
        unit,
        "higher",
        tuple(value.patient for value in values),
        errors[:, 0],
        errors[:, 1],
        patients - len(values),
    )
