"""report.html of one verdict of the gate: its endpoints, limits, pictures and provenance."""

from __future__ import annotations

import tempfile
from pathlib import Path

from compress import __version__
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.evaluate.verdict_table import ENDPOINT_HEADS, LIMIT_HEADS, endpoint_cells, limit_cells
from compress.files import read_json, write_text
from compress.report.forest_plot import ForestRow, forest_plot
from compress.report.html import Child, Markup, definitions, el, figure, table
from compress.report.page_parts import Part, agreement_parts, boxes, digest, page_of, terms, verdict_banner
from compress.rundir import GateFiles
from compress.text import phantom_mark


def write_gate_page(folder: Path) -> Path:
    """Write report.html beside one verdict, from its own files, and return its path.

    Raises `InputError` when verdict.json, baseline.json or candidate.json is missing or damaged.
    """
    files = GateFiles(Path(folder))
    verdict = Verdict.from_json(read_json(files.verdict))
    with tempfile.TemporaryDirectory() as scrap:
        parts = _gate_parts(files, verdict, Path(scrap))
    names = f"{verdict.candidate.name} against {verdict.baseline.name}"
    title = f"{'Accepted' if verdict.accepted else 'Refused'}{phantom_mark(verdict.phantom)}: {names}"
    text = page_of(title, f"Acceptance gate: {names}", parts, phantom=verdict.phantom, above=verdict_banner(verdict))
    return write_text(files.report, text)


def _gate_parts(files: GateFiles, verdict: Verdict, scrap: Path) -> list[Part]:
    sides = ((verdict.baseline.name, files.baseline), (verdict.candidate.name, files.candidate))
    if verdict.baseline.name == verdict.candidate.name:
        sides = ((f"{sides[0][0]} (baseline)", sides[0][1]), (f"{sides[1][0]} (candidate)", sides[1][1]))
    scores = {name: EvaluationReport.from_json(read_json(path)) for name, path in sides}
    return [
        ("endpoints", "Endpoints", _endpoints(verdict, scrap)),
        ("limits", "Limits", _limits(verdict)),
        ("dice", "Dice per volume", boxes(scores, scrap, phantom=verdict.phantom)),
        ("clinical", "Volumes, EF and mass", agreement_parts(scores, scrap, phantom=verdict.phantom)),
        ("differences", "Where the two differ", _differences(files.overlays, verdict)),
        ("provenance", "Provenance", _provenance(verdict)),
    ]


def _endpoints(verdict: Verdict, folder: Path) -> list[Markup]:
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


def _limits(verdict: Verdict) -> list[Markup]:
    """What a mean hides, and what a cohort of this size cannot show."""
    rows = [_marked(limit_cells(row)) for row in verdict.limits]
    caption = "Limits on the worst of each kind; a negative value is better than the baseline"
    return [
        table(LIMIT_HEADS, rows, caption=caption, text_columns=2, phantom=verdict.phantom),
        el("p", verdict.caveat, class_="note"),
    ]


def _marked(cells: list[str]) -> list[Child]:
    """The row's last cell says whether it passed; a NO must not be overlooked."""
    *rest, passed = cells
    return [*rest, el("strong", passed, class_="no") if passed == "NO" else passed]


def _differences(path: Path, verdict: Verdict) -> list[Markup]:
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


def _provenance(verdict: Verdict) -> list[Markup]:
    """Both files, the cohort, and how it was judged."""
    facts: list[tuple[str, Child]] = [
        ("baseline", verdict.baseline.name),
        ("SHA-256 of the baseline", digest(verdict.baseline.sha256)),
        ("candidate", verdict.candidate.name),
        ("SHA-256 of the candidate", digest(verdict.candidate.sha256)),
        ("digest of the data", digest(verdict.data)),
        (
            "cohort",
            f"{verdict.patients} patients, {verdict.volumes} volumes{phantom_mark(verdict.phantom)}",
        ),
        ("interval", f"{100 * verdict.confidence:g}%, {verdict.resamples} resamples, seed {verdict.seed}"),
        ("software", f"cardiocompress {__version__}"),
    ]
    return [definitions(facts), *terms(phantom=verdict.phantom)]
