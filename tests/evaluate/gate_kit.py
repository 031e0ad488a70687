"""Score reports of two made-up networks on one cohort."""

from __future__ import annotations

from collections.abc import Mapping

from compress.evaluate.metrics import StructureScore
from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate

STRUCTURES = ("RV", "MYO", "LV")
GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
REFERENCE_ML = {"ED": 120.0, "ES": 50.0}

Change = dict[str, float | None]
"""What to replace of one structure: "dice", "hd95_mm" or "prediction_ml"."""


def report(
    patients: int = 20, *, dice: float = 0.9, changes: Mapping[tuple[str, str, str], Change] | None = None
) -> EvaluationReport:
    """A cohort in which every structure has this Dice, but for changes of (patient, phase, structure).

    Patients are called p00, p01, ... and their groups take turns.
    """
    changes = changes or {}
    return evaluate(
        VolumeScore(
            patient,
            phase,
            GROUPS[number % len(GROUPS)],
            {name: _score(phase, dice, changes.get((patient, phase, name), {})) for name in STRUCTURES},
            surface_measured=True,
        )
        for number, patient in enumerate(names(patients))
        for phase in REFERENCE_ML
    )


def names(patients: int) -> list[str]:
    return [f"p{number:02d}" for number in range(patients)]


def _score(phase: str, dice: float, change: Change) -> StructureScore:
    values = {"dice": dice, "hd95_mm": 5.0, "prediction_ml": REFERENCE_ML[phase], **change}
    return StructureScore(
        {"dice": values["dice"]}, dice, values["hd95_mm"], values["prediction_ml"], REFERENCE_ML[phase]
    )  # fmt: skip
