"""`cardiocompress run` and `sweep`: whole chains of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.pipeline import Outcome


_SIDE_BY_SIDE = 4
"""Up to so many networks stand side by side, so that the table fits a narrow terminal."""


def run(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Train, prune with every initialisation in sweep.inits, retrain, export, bench and report; resumes."""
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress import pipeline

    show_outcome(pipeline.run(ws), "Dense and pruned networks")


def sweep(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Dense once, then every combination of initialisation, ratio set and seed; resumes.

    One table and one plot over all of them, updated after each combination.
    """
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress import pipeline

    show_outcome(pipeline.sweep(ws), "Sweep")


def show_outcome(outcome: Outcome, title: str) -> None:
    from cli.console import say, table
    from compress.steps.reporting.summary import comparison_rows

    heads, rows = comparison_rows(outcome.rows, phantom=bool(outcome.rows[0]["phantom"]))
    if len(rows) <= _SIDE_BY_SIDE:
        heads, rows = [heads[0], *(row[0] for row in rows)], [list(line) for line in zip(heads, *rows, strict=True)][1:]
    table(title, heads, rows)
    say(f"Report: {outcome.report}")
    say(f"Page: {outcome.page}")
