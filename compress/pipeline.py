"""The story in one file: train, prune, retrain, export, measure, report. Every step resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.config import Init, Pruning, RatioSet
from compress.files import write_json, write_text
from compress.report.plots import sweep_plot
from compress.steps.benching.bench import bench, run_models
from compress.steps.exporting.export import export_stage
from compress.steps.networks import stages_of
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.reporting.refresh import write_pages
from compress.steps.reporting.summary import comparison_rows, summarise
from compress.steps.training.dense import train_dense
from compress.steps.training.request import Policy
from compress.steps.workspace import Workspace
from compress.text import markdown_table

CONTINUE_DENSE = Policy(unfinished="resume")
CONTINUE_PRUNED = Policy(unfinished="resume", finished="replace")


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


def sweep(ws: Workspace) -> Outcome:
    """Dense once, then every initialisation x ratio set x seed; a finished combination is not repeated.

    Writes sweep/results.json, table.md and sweep.png after every combination.
    """
    train_dense(ws, policy=CONTINUE_DENSE)
    dense = summarise(ws, "dense", ws.run.baseline)
    rows: list[dict[str, Any]] = []
    combinations = sweep_requests(ws)
    with ws.progress.task("Sweep", len(combinations)) as task:
        for set_name, wanted in combinations:
            result = prune_and_retrain(ws, wanted, policy=CONTINUE_PRUNED)
            export_stage(ws, result.stage)
            row = summarise(ws, wanted.folder, result.stage)
            row |= {"init": wanted.reinitialize_weights, "ratio_set": set_name, "seed": wanted.seed}
            row["parameters_fraction"] = row["parameters"] / dense["parameters"]
            rows.append(row)
            _write_sweep(ws, dense, rows)
            task.advance(info=wanted.folder)
    _, page = _pages(ws)
    return Outcome([dense, *rows], ws.run.sweep.table, page)


def sweep_requests(ws: Workspace) -> list[tuple[str, Pruning]]:
    """(ratio set's name, pruning) for every combination; without ratio sets, the configured ratios."""
    chosen = ws.config.sweep
    sets = chosen.ratio_sets or [RatioSet(name="config", ratios=ws.config.pruning.ratios)]

    def pruning(chosen: RatioSet, init: Init, seed: int) -> Pruning:
        name = f"{chosen.name}-{init}-seed{seed}"
        return ws.config.pruning.but(ratios=chosen.ratios, reinitialize_weights=init, seed=seed, name=name)

    return [(s.name, pruning(s, init, seed)) for s in sets for init in chosen.inits for seed in chosen.seeds]


def _write_sweep(ws: Workspace, dense: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    files, phantom = ws.run.sweep, bool(dense["phantom"])
    write_json(files.results, {"dense": dense, "rows": rows})
    table = markdown_table(*comparison_rows([dense, *rows], phantom=phantom))
    write_text(files.table, f"{table}\n")
    sweep_plot(files.plot, rows, dense=dense["dice"], phantom=phantom)
