"""report.html: the whole story of a run in one file that loads nothing.

Equal files in the folder give equal bytes: no time and no host name stands in a page; keys of
the configuration that are paths are left out, and absolute paths in messages are cut down to their last part.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from compress.files import write_text
from compress.report.html import Markup, el
from compress.report.page_parts import Part, agreement_parts, boxes, page_of
from compress.steps.reporting import provenance, sections
from compress.steps.reporting.facts import Network, RunFacts
from compress.steps.workspace import Workspace

SHOWN = 3
"""This many compressed networks have pictures: a sweep has dozens, and a page must open quickly. The tables
hold all."""


def write_run_page(ws: Workspace, facts: RunFacts) -> Path:
    """Write the run folder's report.html from `facts`, and return its path.

    Predicts the few patients of the pictures where those are not drawn yet. Raises `InputError` when a file of
    the run that every page needs is missing or damaged.
    """
    with tempfile.TemporaryDirectory() as scrap:
        parts = _run_parts(ws, facts, Path(scrap))
    title = f"{facts.title}: {'phantom ' if facts.phantom else ''}report"
    text = page_of(title, f"{facts.title}: dense and compressed networks", parts, phantom=facts.phantom)
    return write_text(ws.run.report_html, text)


def _run_parts(ws: Workspace, facts: RunFacts, scrap: Path) -> list[Part]:
    shown = _pictured(facts)
    networks = [network for network in (facts.dense, *shown) if network is not None]
    scored = {network.name: network.scores for network in networks if network.scores is not None}
    whole = {network.name: network.scores for network in networks if network.scores is not None and network.whole}
    none = [el("p", "No network has been evaluated on the validation patients.")]
    thin = [el("p", "Whole volumes were not scored: volumes and ejection fractions are not known.")]
    return [
        ("summary", "In short", sections.headline(facts)),
        ("networks", "Networks: size and Dice", sections.network_table(facts) + _left_out(facts, shown)),
        ("speed", "Speed, memory and Dice", sections.speed(facts, scrap)),
        ("dice", "Dice per volume", boxes(scored, scrap, phantom=facts.phantom) if scored else none),
        ("clinical", "Volumes, EF and mass", agreement_parts(whole, scrap, phantom=facts.phantom) if whole else thin),
        ("differences", "Where the networks differ", provenance.overlays(ws, facts, shown)),
        ("widths", "Widths before and after", provenance.widths(facts, shown)),
        ("provenance", "Provenance", provenance.provenance(ws, facts)),
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
