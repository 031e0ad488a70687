"""The gate's verdict as tables: one row of texts per endpoint and limit, and the Markdown page."""

from __future__ import annotations

from compress.evaluate.verdict import COUNT, Endpoint, LimitCheck, Verdict
from compress.text import Markdown, dash, markdown_table, phantom_mark, plain, span

ENDPOINT_HEADS = (
    *("endpoint", "unit", "n", "omitted", "baseline", "candidate"),
    *("difference", "interval", "margin", "passed"),
)
LIMIT_HEADS = ("limit on", "where", "worse by", "limit", "passed")


def markdown(verdict: Verdict) -> Markdown:
    """Heading, sentence, tables, what the cohort cannot show, and the method."""
    return Markdown(f"# Verdict{phantom_mark(verdict.phantom)}\n\n{markdown_body(verdict)}\n")


def markdown_body(verdict: Verdict) -> Markdown:
    """`markdown` without its heading and the last line end."""
    sides = (("baseline", verdict.baseline), ("candidate", verdict.candidate))
    files = "\n".join(f"- {kind}: {plain(file.name)}, SHA-256 {plain(file.sha256)}" for kind, file in sides)
    endpoints = markdown_table(ENDPOINT_HEADS, [endpoint_cells(row) for row in verdict.endpoints])
    limits = markdown_table(LIMIT_HEADS, [limit_cells(row) for row in verdict.limits])
    reasons = "\n".join(f"- {plain(reason)}" for reason in verdict.reasons) or "Nothing was refused."
    said = [plain(text) for text in (verdict.sentence, verdict.caveat, _method(verdict))]
    return Markdown("\n\n".join([said[0], reasons, files, endpoints, limits, *said[1:]]))


def endpoint_cells(row: Endpoint) -> list[str]:
    """One endpoint as texts, under `ENDPOINT_HEADS`."""
    figure = f".{_digits(row.unit)}f"
    margin = f"{'-' if row.worse == 'lower' else '+'}{row.margin:{figure}}"
    counts = [str(row.n), str(row.omitted)]
    means = [dash(row.baseline, figure), dash(row.candidate, figure)]
    difference, low, high = (None if v is None else v + 0.0 for v in (row.difference, row.low, row.high))  # no "-0"
    differences = [dash(difference, f"+{figure}"), span(low, high, f"+{figure}")]
    return [row.name, row.unit, *counts, *means, *differences, margin, _word(row.passed)]


def limit_cells(row: LimitCheck) -> list[str]:
    """One limit as texts, under `LIMIT_HEADS`."""
    return [row.name, row.what, number(row.value, row.unit), number(row.limit, row.unit), _word(row.passed)]


def _word(passed: bool) -> str:
    return "yes" if passed else "NO"


def _digits(unit: str) -> int:
    return {"": 4, COUNT: 0}.get(unit, 2)


def number(value: float, unit: str) -> str:
    """A value with its unit; Dice has none and four digits."""
    return f"{value:.{_digits(unit)}f}{' ' if unit else ''}{unit}"


def _method(verdict: Verdict) -> str:
    return (
        f"Paired non-inferiority over patients: every endpoint's two-sided {100 * verdict.confidence:g}% interval "
        f"({verdict.resamples} studentised bootstrap resamples, seed {verdict.seed}, never narrower than Student's t) "
        f"must end inside its margin; limits hold what was measured. Data {verdict.data}."
    )
