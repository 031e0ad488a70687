"""What a mean hides: one bad structure, one bad disease group, one bad patient, one structure that is gone.

These are point estimates with limits, no intervals: a disease group has four patients, a bad patient is one. They
add refusals to the gate and can never turn one into an acceptance. A network here once lost 0.005 mean Dice while one
patient's left ventricle at end-systole was 109 ml instead of 50 ml: two of these limits see that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compress.config import GateLimits
from compress.evaluate.clinical import QUANTITIES
from compress.evaluate.paired import JUDGED, KIND_OF_UNIT, Pair, clinical_values, volume_pairs
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import COUNT, LimitCheck

_NAMED = 5
"""A row names at most this many volumes."""


FIELD_OF_LIMIT = {
    "worst structure": "structure_dice",
    "worst disease group": "group_dice",
    "worst patient": "patient_dice",
    "worst patient's volume": "patient_volume_ml",
    "worst patient's EF": "patient_ef_points",
    "worst patient's mass": "patient_mass_g",
    "structures no longer found": "lost_structures",
}
"""Name of a `LimitCheck` -> the field of `GateLimits` that holds its limit."""


def check_limits(baseline: EvaluationReport, candidate: EvaluationReport, limits: GateLimits) -> list[LimitCheck]:
    """Every limit, in table order. Raises `DataError` when the reports are not of the same volumes."""
    patients = volume_pairs(baseline, candidate)
    volumes = [pair for pairs in patients.values() for pair in pairs]
    found = [
        _dice_limit("worst structure", _by_structure(volumes), limits.structure_dice),
        _dice_limit("worst disease group", _by_group(patients), limits.group_dice),
        _dice_limit("worst patient", _by_patient(patients), limits.patient_dice),
    ]
    asked = {"volume_ml": limits.patient_volume_ml, "ef_points": limits.patient_ef_points}
    asked["mass_g"] = limits.patient_mass_g
    found += [_clinical_limit(baseline, candidate, kind, limit) for kind, limit in asked.items()]
    return [*(row for row in found if row is not None), _lost(volumes, limits.lost_structures)]


def _dice(pair: Pair, structure: str) -> tuple[float, float]:
    baseline, candidate = (volume.structures[structure].overlap["dice"] for volume in pair)
    return baseline, candidate


def _mean_loss(rows: list[tuple[float, float]]) -> float:
    means = np.mean(rows, axis=0)
    return float(means[0] - means[1])


def _by_structure(volumes: list[Pair]) -> dict[str, float]:
    names = list(volumes[0][0].structures)
    phases = dict.fromkeys(pair[0].phase for pair in volumes)
    return {
        f"{name} at {phase}" if phase else name: _mean_loss([_dice(p, name) for p in volumes if p[0].phase == phase])
        for phase in phases
        for name in names
    }


def _by_group(patients: dict[str, list[Pair]]) -> dict[str, float]:
    members: dict[str, list[list[Pair]]] = {}
    for pairs in patients.values():
        members.setdefault(pairs[0][0].group or "group unknown", []).append(pairs)
    return {
        f"{group} ({len(lists)} patient{'s' * (len(lists) > 1)})": _mean_loss(
            [(pair[0].mean_dice, pair[1].mean_dice) for pairs in lists for pair in pairs]
        )
        for group, lists in members.items()
    }


def _by_patient(patients: dict[str, list[Pair]]) -> dict[str, float]:
    """Per structure: a ventricle that is lost must not be averaged with two that are kept."""
    return {
        f"{patient} {name}": _mean_loss([_dice(pair, name) for pair in pairs])
        for patient, pairs in patients.items()
        for name in pairs[0][0].structures
    }


def _dice_limit(name: str, losses: dict[str, float], limit: float) -> LimitCheck:
    what = max(losses, key=lambda key: losses[key])
    return LimitCheck(name, what, losses[what], limit, "", losses[what] <= limit)


_TITLES: dict[str, tuple[str, Callable[[float], str]]] = {
    "volume_ml": ("worst patient's volume", lambda value: f"{value:.1f} ml"),
    "ef_points": ("worst patient's EF", lambda value: f"{value:.1f}%"),
    "mass_g": ("worst patient's mass", lambda value: f"{value:.1f} g"),
}


def _clinical_limit(
    baseline: EvaluationReport, candidate: EvaluationReport, kind: str, limit: float
) -> LimitCheck | None:
    """The largest growth of an absolute error; None where no patient has such a value, which its endpoint refuses."""
    names = [name for name in JUDGED if KIND_OF_UNIT[QUANTITIES[name].unit] == kind]
    values = [value for value in clinical_values(baseline, candidate) if value.quantity in names]
    if not values:
        return None
    worst = max(values, key=lambda value: value.errors[1] - value.errors[0])
    title, shown = _TITLES[kind]
    what = f"{worst.patient} {worst.quantity}: {shown(worst.candidate)}, baseline {shown(worst.baseline)}, "
    growth = worst.errors[1] - worst.errors[0]
    unit = QUANTITIES[worst.quantity].unit
    return LimitCheck(title, f"{what}reference {shown(worst.reference)}", growth, limit, unit, growth <= limit)


def _lost(volumes: list[Pair], limit: int) -> LimitCheck:
    """Structures that are there, that the baseline finds, and of which the candidate finds no voxel."""
    lost = [
        f"{baseline.name} {name}"
        for baseline, candidate in volumes
        for name, score in baseline.structures.items()
        if score.reference_ml > 0 and score.prediction_ml > 0 and candidate.structures[name].prediction_ml == 0
    ]
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    what = ", ".join(lost[:_NAMED]) + more if lost else "none"
    return LimitCheck("structures no longer found", what, float(len(lost)), float(limit), COUNT, len(lost) <= limit)
