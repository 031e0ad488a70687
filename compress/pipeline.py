"""The story in one file: train, prune, retrain, export, measure, report. Every step resumes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.cluster import Needs
from compress.files import write_json, write_text
from compress.report.plots import sweep_plot
from compress.steps.benching.bench import bench, run_models
from compress.steps.networks import stages_of
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.reporting.refresh import write_pages
from compress.steps.reporting.summary import comparison_rows, summarise
from compress.steps.sweeping.engines import ENGINES
from compress.steps.sweeping.trial import CONTINUE_PRUNED, trials_of
from compress.steps.training.dense import train_dense
from compress.steps.training.request import Policy
from compress.steps.workspace import Workspace
from compress.text import markdown_table

ANYWHERE = Needs()
CONTINUE_DENSE = Policy(unfinished="resume")


@dataclass(frozen=True)
class Outcome:
    """What a chain of steps left behind."""

    rows: list[dict[str, Any]]
    """One summary per network, dense first; see `compress.steps.reporting.summary.summarise`."""
    report: Path
    page: Path
    """The same and more for a browser: report.html."""


def run(ws: Workspace) -> Outcome:
    """Dense training, one pruned network per initialisation in `sweep.inits`, export, benchmark, report."""
    train_dense(ws, policy=CONTINUE_DENSE)
    for init in ws.config.sweep.inits:
        prune_and_retrain(ws, ws.config.pruning.but(reinitialize_weights=init, name=init), policy=CONTINUE_PRUNED)
    bench(ws, run_models(ws))
    rows = [summarise(ws, name, stage) for name, stage in stages_of(ws).items()]
    return Outcome(rows, *_pages(ws))


def _pages(ws: Workspace) -> tuple[Path, Path]:
    pages = write_pages(ws)
    assert pages is not None, "the chain has just trained a network"
    return pages


def sweep(ws: Workspace, *, engine: str = "local", needs: Needs = ANYWHERE) -> Outcome:
    """Dense once, then every initialisation x ratio set x seed; a finished combination is not repeated.

    engine: a name in `ENGINES`. needs: what each trial takes of a cluster, from `needs_of`.
    Writes sweep/results.json, table.md and sweep.png after every combination.
    """
    trials = trials_of(ws)
    train_dense(ws, policy=CONTINUE_DENSE)
    dense = summarise(ws, "dense", ws.run.baseline)
    rows: dict[int, dict[str, Any]] = {}
    with ws.progress.task("Sweep", len(trials)) as task, closing(ENGINES[engine](ws, trials, needs)) as found:
        for number, row in found:
            rows[number] = row | {"parameters_fraction": row["parameters"] / dense["parameters"]}
            _write_sweep(ws, dense, [rows[each] for each in sorted(rows)])
            task.advance(info=trials[number].wanted.folder)
    _, page = _pages(ws)
    return Outcome([dense, *(rows[each] for each in sorted(rows))], ws.run.sweep.table, page)


def _write_sweep(ws: Workspace, dense: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    files, phantom = ws.run.sweep, bool(dense["phantom"])
    write_json(files.results, {"dense": dense, "rows": rows})
    table = markdown_table(*comparison_rows([dense, *rows], phantom=phantom))
    write_text(files.table, f"{table}\n")
    sweep_plot(files.plot, rows, dense=dense["dice"], phantom=phantom)
