"""The run's pages, written anew at the end of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compress.steps.workspace import Workspace


def show_pages(ws: Workspace) -> None:
    """Write report.md and report.html from what is there now, and say where; nothing without a finished network."""
    from cli.console import say
    from compress.steps.reporting.refresh import write_pages

    if not ws.readable:  # an imported network without data: there is nothing to show
        return
    if (pages := write_pages(ws)) is not None:
        say(f"Report: {pages[0]}")
        say(f"Page: {pages[1]}")
