"""The sections of the gate's page."""

from __future__ import annotations

from pathlib import Path

from compress import __version__
from compress.evaluate.verdict import Verdict
from compress.evaluate.verdict_table import ENDPOINT_HEADS, GUARD_HEADS, endpoint_cells, guard_cells
from compress.report.forest_plot import ForestRow, forest_plot
from compress.report.html import Child, Markup, definitions, el, figure, table
from compress.steps.page_parts import digest, terms


def endpoints(verdict: Verdict, folder: Path) -> list[Markup]:
    """The table of endpoints and its picture."""
    rows = [_marked(endpoint_cells(row)) for row in verdict.endpoints]
    caption = f"Differences are candidate minus baseline, with {100 * verdict.confidence:g}% intervals over patients"
    drawn = [
        ForestRow(r.name, r.unit, r.difference, r.low, r.high, r.margin, r.worse, r.passed) for r in verdict.endpoints
    ]
    path = forest_plot(folder / "forest.png", drawn, phantom=verdict.phantom)
    failed = [row.name for row in verdict.endpoints if not row.passed]
    alt = f"Forest plot of {len(drawn)} endpoints; not inside the margin: {', '.join(failed) or 'none'}"
    words = "An endpoint passes when its whole interval keeps out of the shaded side of its margin."
    return [
        table(ENDPOINT_HEADS, rows, caption=caption, text_columns=2, phantom=verdict.phantom),
        figure(path, alt=alt, caption=words),
    ]


def guards(verdict: Verdict) -> list[Markup]:
    """What a mean hides, and what a cohort of this size cannot show."""
    rows = [_marked(guard_cells(row)) for row in verdict.guards]
    caption = "Limits on the worst of each kind; a negative value is better than the baseline"
    return [
        table(GUARD_HEADS, rows, caption=caption, text_columns=2, phantom=verdict.phantom),
        el("p", verdict.caveat, class_="note"),
    ]


def _marked(cells: list[str]) -> list[Child]:
    """The row's last cell says whether it passed; a NO must not be overlooked."""
    *rest, passed = cells
    return [*rest, el("strong", passed, class_="no") if passed == "NO" else passed]


def differences(path: Path, verdict: Verdict) -> list[Markup]:
    """The gate's picture of the slices on which the two differ most."""
    if not path.is_file():
        return [el("p", "The gate left no picture.")]
    names = f"{verdict.candidate.name} and {verdict.baseline.name}"
    alt = f"Slices with the outlines of the expert, of {names}, and a map of where they differ"
    words = (
        f"The slices on which {names} differ over the largest area, one per patient, and one of median area. The map "
        "is dimmed where both agree."
    )
    return [figure(path, alt=alt, caption=words)]


def provenance(verdict: Verdict) -> list[Markup]:
    """Both files, the cohort, and how it was judged."""
    facts: list[tuple[str, Child]] = [
        ("baseline", verdict.baseline.name),
        ("SHA-256 of the baseline", digest(verdict.baseline.sha256)),
        ("candidate", verdict.candidate.name),
        ("SHA-256 of the candidate", digest(verdict.candidate.sha256)),
        ("digest of the data", digest(verdict.data)),
        (
            "cohort",
            f"{verdict.patients} patients, {verdict.volumes} volumes" + (" (phantom)" if verdict.phantom else ""),
        ),
        ("interval", f"{100 * verdict.confidence:g}%, {verdict.resamples} resamples, seed {verdict.seed}"),
        ("software", f"cardiocompress {__version__}"),
    ]
    return [definitions(facts), *terms(phantom=verdict.phantom)]
