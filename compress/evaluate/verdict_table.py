"""The gate's verdict as tables: one row of texts per endpoint and guard, and the Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from compress.evaluate.verdict import COUNT, Endpoint, Guard, Verdict

ENDPOINT_HEADS = (
    *("endpoint", "unit", "n", "omitted", "baseline", "candidate"),
    *("difference", "interval", "margin", "passed"),
)
GUARD_HEADS = ("guard", "where", "worse by", "limit", "passed")


def markdown(verdict: Verdict) -> str:
    """Sentence, tables, what the cohort cannot show, and the method."""
    mark = " (phantom)" if verdict.phantom else ""
    sides = (("baseline", verdict.baseline), ("candidate", verdict.candidate))
    files = "\n".join(f"- {kind}: {file.name}, SHA-256 {file.sha256}" for kind, file in sides)
    endpoints = _grid(ENDPOINT_HEADS, [endpoint_cells(row) for row in verdict.endpoints])
    guards = _grid(GUARD_HEADS, [guard_cells(row) for row in verdict.guards])
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons) or "Nothing was refused."
    parts = [f"# Verdict{mark}", verdict.sentence, reasons, files, endpoints, guards, verdict.caveat, _method(verdict)]
    return "\n\n".join(parts) + "\n"


def endpoint_cells(row: Endpoint) -> list[str]:
    """One endpoint as texts, under `ENDPOINT_HEADS`."""
    shown = [_plain(value, row.unit) for value in (row.baseline, row.candidate)]
    low, high = (_signed(value, row.unit) for value in (row.low, row.high))
    margin = f"{'-' if row.worse == 'lower' else '+'}{_plain(row.margin, row.unit)}"
    span = "-" if row.low is None else f"{low} to {high}"
    counts = [str(row.n), str(row.omitted)]
    return [row.name, row.unit, *counts, *shown, _signed(row.difference, row.unit), span, margin, _word(row.passed)]


def guard_cells(row: Guard) -> list[str]:
    """One guard as texts, under `GUARD_HEADS`."""
    return [row.name, row.what, number(row.value, row.unit), number(row.limit, row.unit), _word(row.passed)]


def _word(passed: bool) -> str:
    return "yes" if passed else "NO"


def _digits(unit: str) -> int:
    return {"": 4, COUNT: 0}.get(unit, 2)


def _plain(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.{_digits(unit)}f}"


def _signed(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value + 0.0:+.{_digits(unit)}f}"


def number(value: float, unit: str) -> str:
    """A value with its unit; Dice has none and four digits."""
    return f"{value:.{_digits(unit)}f}{' ' if unit else ''}{unit}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _method(verdict: Verdict) -> str:
    return (
        f"Paired non-inferiority over patients: every endpoint's two-sided {100 * verdict.confidence:g}% interval "
        f"({verdict.resamples} studentised bootstrap resamples, seed {verdict.seed}, never narrower than Student's t) "
        f"must end inside its margin; guards are limits on what was measured. Data {verdict.data}."
    )
