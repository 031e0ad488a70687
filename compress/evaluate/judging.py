"""From the scores of two networks on one cohort to the verdict."""

from __future__ import annotations

import numpy as np

from compress.config import Gate
from compress.errors import DataError
from compress.evaluate.limits import check_limits
from compress.evaluate.noninferiority import inside, interval, unseen_share
from compress.evaluate.paired import Paired, paired_endpoints
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import COUNT, SCHEMA, Endpoint, LimitCheck, Named, Verdict
from compress.evaluate.verdict_table import number


def judge(
    baseline: EvaluationReport,
    candidate: EvaluationReport,
    settings: Gate,
    *,
    names: tuple[Named, Named],
    data: str,
    phantom: bool,
    folds: int = 1,
) -> Verdict:
    """Compare two networks scored on the same cohort; `names` are baseline and candidate, `data` the cohort's digest.

    Raises `DataError` when the reports are of other volumes, lack HD95, or hold too few patients.
    """
    pairs = paired_endpoints(baseline, candidate)
    patients = len({volume.patient for volume in baseline.volumes})
    check_patients(patients, settings)
    endpoints = tuple(_endpoint(pair, settings) for pair in pairs)
    limits = tuple(check_limits(baseline, candidate, settings.limits))
    reasons = [_reason(row, settings) for row in endpoints if not row.passed]
    reasons += [_limit_reason(row) for row in limits if not row.passed]
    return Verdict(
        schema=SCHEMA,
        accepted=not reasons,
        phantom=phantom,
        baseline=names[0],
        candidate=names[1],
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
        patients=patients,
        volumes=len(baseline.volumes),
        data=data,
        unseen_share=unseen_share(patients, confidence=settings.confidence),
        endpoints=endpoints,
        limits=limits,
        reasons=tuple(reasons),
        folds=folds,
    )


def check_patients(patients: int, settings: Gate, *, what: str = "The cohort holds") -> None:
    """Raise `DataError` when there are fewer than `min_patients`: no interval of so few shows anything."""
    if patients < settings.min_patients:
        raise DataError(
            f"{what} {patients} patients; the gate needs at least {settings.min_patients} (gate.min_patients).",
            cure="Set evaluation.paths.eval_dir to a larger cohort that no network was trained on.",
        )


def _endpoint(pair: Paired, settings: Gate) -> Endpoint:
    margin = getattr(settings.margins, pair.kind)
    n = len(pair.patients)
    means = [float(np.mean(side)) if n else None for side in (pair.baseline, pair.candidate)]
    low = high = None
    if n > 1:
        low, high = interval(
            pair.differences, confidence=settings.confidence, resamples=settings.resamples, seed=settings.seed
        )
    passed = low is not None and high is not None and inside(low, high, margin, worse=pair.worse)
    return Endpoint(
        name=pair.name,
        unit=pair.unit,
        n=n,
        omitted=pair.omitted,
        baseline=means[0],
        candidate=means[1],
        difference=float(np.mean(pair.differences)) if n else None,
        low=low,
        high=high,
        margin=margin,
        worse=pair.worse,
        passed=passed and n >= settings.min_patients,
    )


def _reason(row: Endpoint, settings: Gate) -> str:
    """Tells what is worse from what is merely not shown to be no worse."""
    if row.n < settings.min_patients or row.difference is None or row.low is None or row.high is None:
        return (
            f"{row.name}: only {row.n} patients have a value ({row.omitted} have none), {settings.min_patients} needed"
        )
    sign = -1 if row.worse == "lower" else 1
    mean, bound = sign * row.difference, sign * (row.low if row.worse == "lower" else row.high)
    kind = "lower" if row.worse == "lower" else "higher"
    said = f"is {kind} by {number(mean, row.unit)}" if mean >= row.margin else "is not shown to hold"
    limits = f"it may be {kind} by up to {number(bound, row.unit)}, margin {number(row.margin, row.unit)}"
    return f"{row.name} {said} ({limits})"


def _limit_reason(row: LimitCheck) -> str:
    worse = "" if row.unit == COUNT else " worse"
    return f"{row.name}: {row.what} ({number(row.value, row.unit)}{worse}, limit {number(row.limit, row.unit)})"
