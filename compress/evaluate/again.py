"""A stored verdict judged again from the scores per patient that it speaks of: JSON can say anything, scores decide."""

from __future__ import annotations

import math

from pydantic import ValidationError

from compress.config import Gate, GateLimits, GateMargins
from compress.errors import DataError
from compress.evaluate.judging import judge
from compress.evaluate.limits import FIELD_OF_LIMIT
from compress.evaluate.paired import paired_endpoints
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict

_CLOSE = 1e-6
"""Relative: what another version of numpy may compute differently, and no more."""


def judge_again(stored: Verdict, baseline: EvaluationReport, candidate: EvaluationReport) -> tuple[Verdict, Gate]:
    """The verdict that the scores give by the settings of the stored one, and these settings.

    Raises `DataError` where the two verdicts differ, or the stored one was made by no settings of a gate.
    """
    settings = _settings_of(stored, baseline, candidate)
    names = stored.baseline, stored.candidate
    found = judge(
        baseline,
        candidate,
        settings,
        names=names,
        data=stored.data,
        phantom=stored.phantom,
        folds=stored.folds,
    )
    if (difference := _difference(stored, found)) is not None:
        raise DataError(f"The verdict is not what its scores give: {difference}.", cure="Run the gate again.")
    return found, settings


def departures(settings: Gate) -> list[str]:
    """Where the gate's settings are not the default ones, one by one: "gate.margins.dice 0.02 instead of 0.01"."""
    usual, here = _flat(Gate().model_dump()), _flat(settings.model_dump())
    return [f"gate.{name} {here[name]} instead of {usual[name]}" for name in usual if here[name] != usual[name]]


def _flat(section: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(section, dict):
        return {prefix.rstrip("."): section}
    return {name: value for key, inner in section.items() for name, value in _flat(inner, f"{prefix}{key}.").items()}


def _settings_of(stored: Verdict, baseline: EvaluationReport, candidate: EvaluationReport) -> Gate:
    kinds = {pair.name: pair.kind for pair in paired_endpoints(baseline, candidate)}
    margins = {(kinds[row.name], row.margin) for row in stored.endpoints if row.name in kinds}
    limits = {FIELD_OF_LIMIT[row.name]: row.limit for row in stored.limits if row.name in FIELD_OF_LIMIT}
    usual = Gate()
    fewest = min((row.n for row in stored.endpoints), default=0)
    try:
        if len(dict(margins)) != len(margins):
            raise ValueError("two margins for one kind of endpoint")
        return Gate(
            margins=GateMargins(**dict(margins)),
            limits=GateLimits.model_validate(limits),
            confidence=stored.confidence,
            resamples=stored.resamples,
            seed=stored.seed,
            # No verdict says how few patients were enough; fewer than usual is told like every other departure.
            min_patients=min(usual.min_patients, fewest) if stored.accepted else usual.min_patients,
        )
    except ValidationError as fault:
        first = fault.errors()[0]
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as fault:
        told = str(fault)
    raise DataError(f"The verdict was made by no settings of a gate ({told}).", cure="Run the gate again.")


def _difference(stored: Verdict, found: Verdict) -> str | None:
    """The first thing that the stored verdict says and the scores do not; None when there is none."""
    said = [(v.patients, v.volumes, [r.name for r in v.endpoints], [r.name for r in v.limits]) for v in (stored, found)]
    if said[0] != said[1]:
        return (
            f"it is on {stored.patients} patients and {len(stored.endpoints)} endpoints, not {found.patients} and "
            + (str(len(found.endpoints)))
        )
    for ours, theirs in zip(found.endpoints, stored.endpoints, strict=True):
        pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("baseline", "candidate", "low", "high")]
        if (ours.n, ours.passed) != (theirs.n, theirs.passed) or not all(_same(*pair) for pair in pairs):
            return f"{ours.name} has other figures, or another end"
    for ours, theirs in zip(found.limits, stored.limits, strict=True):
        if ours.passed != theirs.passed or not _same(ours.value, theirs.value):
            return f"the limit on the {ours.name} has another figure, or another end"
    return None if stored.accepted == found.accepted else f"accepted is {stored.accepted}"


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=_CLOSE, abs_tol=_CLOSE)
