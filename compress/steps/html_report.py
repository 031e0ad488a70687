"""report.html: the whole story of a run, or of one verdict of the gate, in one file that loads nothing.

Equal files in the folder give equal bytes: no time, host name or folder of this machine stands in a page.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from compress import __version__
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import read_json, write_text
from compress.report.html import Markup, el, heading_of, page, section
from compress.rundir import GateFiles
from compress.steps import gate_sections, run_provenance, run_sections
from compress.steps.page_facts import Network, RunFacts, gather
from compress.steps.page_parts import agreement_parts, boxes, contents, phantom_banner, verdict_banner
from compress.steps.workspace import Workspace

SHOWN = 3
"""So many compressed networks have pictures: a sweep has dozens, and a page must open quickly. The tables hold all."""

Part = tuple[str, str, list[Markup]]
"""Anchor, heading, content."""


def write_run_page(ws: Workspace) -> Path:
    """Write the run folder's report.html from what exists now, and return its path.

    Predicts the few patients of the pictures where those are not drawn yet. Raises `InputError` when a file of
    the run that every page needs is missing or damaged.
    """
    facts = gather(ws)
    with tempfile.TemporaryDirectory() as scrap:
        parts = _run_parts(ws, facts, Path(scrap))
    title = f"{facts.title}: {'phantom ' if facts.phantom else ''}report"
    text = _page(title, f"{facts.title}: dense and compressed networks", parts, phantom=facts.phantom)
    return write_text(ws.run.report_html, text)


def write_gate_page(folder: Path) -> Path:
    """Write report.html beside one verdict, from its own files, and return its path.

    Raises `InputError` when verdict.json, baseline.json or candidate.json is missing or damaged.
    """
    files = GateFiles(Path(folder))
    verdict = Verdict.from_json(read_json(files.verdict))
    with tempfile.TemporaryDirectory() as scrap:
        parts = _gate_parts(files, verdict, Path(scrap))
    names = f"{verdict.candidate.name} against {verdict.baseline.name}"
    title = f"{'Accepted' if verdict.accepted else 'Refused'}{' (phantom)' if verdict.phantom else ''}: {names}"
    text = _page(title, f"Acceptance gate: {names}", parts, phantom=verdict.phantom, above=verdict_banner(verdict))
    return write_text(files.report, text)


def _run_parts(ws: Workspace, facts: RunFacts, scrap: Path) -> list[Part]:
    shown = _pictured(facts)
    networks = [network for network in (facts.dense, *shown) if network is not None]
    scored = {network.name: network.scores for network in networks if network.scores is not None}
    whole = {network.name: network.scores for network in networks if network.scores is not None and network.whole}
    none = [el("p", "No network has been evaluated on the validation patients.")]
    thin = [el("p", "Whole volumes were not scored: volumes and ejection fractions are not known.")]
    return [
        ("summary", "In short", run_sections.headline(facts)),
        ("networks", "Networks: size and Dice", run_sections.network_table(facts) + _left_out(facts, shown)),
        ("speed", "Speed, memory and Dice", run_sections.speed(facts, scrap)),
        ("dice", "Dice per volume", boxes(scored, scrap, phantom=facts.phantom) if scored else none),
        ("clinical", "Volumes, EF and mass", agreement_parts(whole, scrap, phantom=facts.phantom) if whole else thin),
        ("differences", "Where the networks differ", run_provenance.overlays(ws, facts, shown)),
        ("widths", "Widths before and after", run_provenance.widths(facts, shown)),
        ("provenance", "Provenance", run_provenance.provenance(ws, facts)),
    ]


def _pictured(facts: RunFacts) -> list[Network]:
    """Those that the gate judged, then those with the highest Dice; in the order of the tables."""
    judged = {verdict.candidate.name for _, verdict in facts.verdicts}
    ranked = sorted(facts.compressed, key=lambda n: (n.name not in judged, -(n.row["dice"] or 0.0)))
    return [network for network in facts.compressed if network in ranked[:SHOWN]]


def _left_out(facts: RunFacts, shown: list[Network]) -> list[Markup]:
    rest = [network.name for network in facts.compressed if network not in shown]
    if not rest:
        return []
    words = (
        f"Pictures below show the {len(shown)} compressed networks that the gate judged or that have the highest Dice"
    )
    return [el("p", f"{words}, not: {', '.join(rest)}.", class_="note")]


def _gate_parts(files: GateFiles, verdict: Verdict, scrap: Path) -> list[Part]:
    sides = ((verdict.baseline.name, files.baseline), (verdict.candidate.name, files.candidate))
    if verdict.baseline.name == verdict.candidate.name:
        sides = ((f"{sides[0][0]} (baseline)", sides[0][1]), (f"{sides[1][0]} (candidate)", sides[1][1]))
    scores = {name: EvaluationReport.from_json(read_json(path)) for name, path in sides}
    return [
        ("endpoints", "Endpoints", gate_sections.endpoints(verdict, scrap)),
        ("guards", "Guards", gate_sections.guards(verdict)),
        ("dice", "Dice per volume", boxes(scores, scrap, phantom=verdict.phantom)),
        ("clinical", "Volumes, EF and mass", agreement_parts(scores, scrap, phantom=verdict.phantom)),
        ("differences", "Where the two differ", gate_sections.differences(files.overlays, verdict)),
        ("provenance", "Provenance", gate_sections.provenance(verdict)),
    ]


def _page(title: str, heading: str, parts: list[Part], *, phantom: bool, above: Markup | None = None) -> str:
    header = [
        heading_of("h1", heading, phantom=phantom),
        phantom_banner(phantom),
        above,
        contents((name, text) for name, text, _ in parts),
    ]
    sections = [section(text, *content, name=name, phantom=phantom) for name, text, content in parts]
    footer = f"Written by cardiocompress {__version__}. This file loads nothing and runs no script."
    return page(title, *sections, header=header, footer=footer)
