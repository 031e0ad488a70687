"""Pages are results too: after every command they speak of what the run folder holds then."""

from __future__ import annotations

from pathlib import Path

from compress.steps.networks import stages_of
from compress.steps.reporting.facts import gather
from compress.steps.reporting.markdown import write_report
from compress.steps.reporting.page import write_run_page
from compress.steps.workspace import Workspace


def write_pages(ws: Workspace) -> tuple[Path, Path] | None:
    """Write report.json, report.md and report.html anew; (report.md, report.html), None without a finished network.

    Scores that are no longer of the networks and patients that are there are computed again.
    """
    if not stages_of(ws):
        return None
    facts = gather(ws)
    return write_report(ws, facts), write_run_page(ws, facts)
