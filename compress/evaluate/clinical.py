"""Clinical indices of a patient from the volumes at end-diastole (ED) and end-systole (ES), and their agreement.

Quantities and table layout follow Bernard et al., IEEE TMI 37(11):2514-2525, 2018; limits of agreement follow
Bland and Altman, Lancet 327:307-310, 1986.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compress.data.volume import MYOCARDIAL_DENSITY
from compress.errors import DataError


@dataclass(frozen=True)
class PhaseVolumes:
    """Volumes in ml per structure name of one patient at one phase, predicted and in the reference."""

    patient: str
    phase: str
    prediction_ml: Mapping[str, float]
    reference_ml: Mapping[str, float]


class Pair(NamedTuple):
    """One patient's value of one quantity, predicted and in the reference, in the quantity's unit."""

    patient: str
    prediction: float
    reference: float


@dataclass(frozen=True)
class Agreement:
    """How well predictions agree with the reference on one quantity. Differences are prediction - reference."""

    n: int
    """Patients for whom the quantity could be computed."""
    omitted: int
    """Patients left out: a phase or structure is missing, or an ejection fraction has no end-diastolic volume."""
    bias: float | None
    """Mean difference; None when n is 0."""
    sd: float | None
    """Sample standard deviation of the differences; None when n < 2."""
    limits: tuple[float, float] | None
    """95% limits of agreement, bias -+ 1.96 SD; None when n < 2."""
    correlation: float | None
    """Pearson's r; None when n < 3 or either side is constant."""
    mae: float | None
    """Mean absolute difference; None when n is 0."""


Phases = Mapping[str, Mapping[str, float]]
"""Phase name to structure name to volume in ml, of one patient."""


@dataclass(frozen=True)
class Quantity:
    """A clinical quantity: its unit and how to compute it (KeyError: an input is missing, None: undefined)."""

    unit: str
    compute: Callable[[Phases], float | None]


def ejection_fraction(edv_ml: float, esv_ml: float) -> float | None:
    """Ejection fraction in percent, 100 (EDV - ESV) / EDV; None for an empty ventricle at ED."""
    return 100.0 * (edv_ml - esv_ml) / edv_ml if edv_ml > 0 else None


def _ventricle(name: str) -> dict[str, Quantity]:
    return {
        f"{name} EDV": Quantity("ml", lambda phases: phases["ED"][name]),
        f"{name} ESV": Quantity("ml", lambda phases: phases["ES"][name]),
        f"{name} SV": Quantity("ml", lambda phases: phases["ED"][name] - phases["ES"][name]),
        f"{name} EF": Quantity("%", lambda phases: ejection_fraction(phases["ED"][name], phases["ES"][name])),
    }


QUANTITIES: dict[str, Quantity] = {
    **_ventricle("LV"),
    **_ventricle("RV"),
    "MYO mass": Quantity("g", lambda phases: MYOCARDIAL_DENSITY * phases["ED"]["MYO"]),
}
"""Clinical quantities by name, e.g. "LV EF". Structures are those named LV, RV and MYO in the label map."""


def clinical_pairs(records: Iterable[PhaseVolumes]) -> dict[str, list[Pair]]:
    """Per quantity the (patient, prediction, reference) values of every patient for whom both exist.

    Raises `DataError` when a patient has two volumes of one phase. Patients keep the order of `records`.
    """
    patients = _by_patient(records)
    return {name: _pairs_of(quantity, patients) for name, quantity in QUANTITIES.items()}


def agreement(pairs: Iterable[Pair | tuple[str, float, float]], *, omitted: int = 0) -> Agreement:
    """Agreement statistics of (patient, prediction, reference) values; `omitted` is carried along."""
    values = np.array([(prediction, reference) for _, prediction, reference in pairs], dtype=float).reshape(-1, 2)
    differences = values[:, 0] - values[:, 1]
    n = len(values)
    bias = float(differences.mean()) if n else None
    sd = float(differences.std(ddof=1)) if n > 1 else None
    limits = (bias - 1.96 * sd, bias + 1.96 * sd) if bias is not None and sd is not None else None
    mae = float(np.abs(differences).mean()) if n else None
    return Agreement(n, omitted, bias, sd, limits, pearson(values[:, 0], values[:, 1]), mae)


def clinical_agreement(records: Iterable[PhaseVolumes]) -> dict[str, Agreement]:
    """Agreement per quantity of `QUANTITIES` over all patients in `records`."""
    records = list(records)
    total = len({record.patient for record in records})
    pairs = clinical_pairs(records)
    return {name: agreement(found, omitted=total - len(found)) for name, found in pairs.items()}


def pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's r of two (n,) arrays; None when n < 3 (r is then +-1 whatever the data) or either is
    constant up to rounding."""
    if len(first) < 3 or any(np.ptp(side) <= 1e-9 * np.abs(side).max() for side in (first, second)):
        return None
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1.0, 1.0))


def _by_patient(records: Iterable[PhaseVolumes]) -> dict[str, dict[str, PhaseVolumes]]:
    patients: dict[str, dict[str, PhaseVolumes]] = {}
    for record in records:
        phases = patients.setdefault(record.patient, {})
        if record.phase in phases:
            raise DataError(
                f"Patient '{record.patient}' has two volumes of phase '{record.phase}'.",
                cure="Give each patient one ED and one ES volume.",
            )
        phases[record.phase] = record
    return patients


def _pairs_of(quantity: Quantity, patients: Mapping[str, Mapping[str, PhaseVolumes]]) -> list[Pair]:
    pairs = []
    for patient, phases in patients.items():
        prediction = _value(quantity, {name: record.prediction_ml for name, record in phases.items()})
        reference = _value(quantity, {name: record.reference_ml for name, record in phases.items()})
        if prediction is not None and reference is not None:
            pairs.append(Pair(patient, prediction, reference))
    return pairs


def _value(quantity: Quantity, phases: Phases) -> float | None:
    try:
        return quantity.compute(phases)
    except KeyError:  # a phase or a structure is missing: the caller counts the patient as omitted
        return None
