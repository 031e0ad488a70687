"""`cardiocompress run` and `sweep`: whole chains of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

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


def sweep(
    config: ConfigOption = None,
    overrides: SetOption = None,
    engine: Annotated[
        str,
        typer.Option("--engine", help="local: one after the other. ray: on the cluster of RAY_ADDRESS ([scale])."),
    ] = "local",
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="CPUs and threads of each combination on a cluster; 1.")
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option("--gpus", min=0.0, help="GPUs of each, or a part of one. Without it: 1 where one is used here."),
    ] = None,
) -> None:
    """Dense once, then every combination of initialisation, ratio set and seed; resumes.

    One table and one plot over all of them, updated after each combination. On a cluster the run folder must lie where
    all its machines see it under the same path, and so must the data.
    """
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress import pipeline
    from compress.steps.sweeping.engines import needs_of

    show_outcome(pipeline.sweep(ws, engine=engine, needs=needs_of(ws, engine, cpus=cpus, gpus=gpus)), "Sweep")


def show_outcome(outcome: Outcome, title: str) -> None:
    from cli.console import say, table
    from compress.steps.reporting.summary import comparison_rows

    heads, rows = comparison_rows(outcome.rows, phantom=bool(outcome.rows[0]["phantom"]))
    if len(rows) <= _SIDE_BY_SIDE:
        heads, rows = [heads[0], *(row[0] for row in rows)], [list(line) for line in zip(heads, *rows, strict=True)][1:]
    table(title, heads, rows)
    say(f"Report: {outcome.report}")
    say(f"Page: {outcome.page}")
