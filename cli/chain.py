"""`cardiocompress run`, `sweep` and `demo`: whole chains of steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.pipeline import Outcome
    from compress.steps.workspace import Workspace


_SIDE_BY_SIDE = 4
"""Up to so many networks stand side by side, so that the table fits a narrow terminal."""


def run(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Train, prune with every initialisation in sweep.inits, retrain, export, bench and report; resumes."""
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress import pipeline

    _show(pipeline.run(ws), "Dense and pruned networks")


def sweep(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Dense once, then every combination of initialisation, ratio set and seed; resumes.

    One table and one plot over all of them, updated after each combination.
    """
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress import pipeline

    _show(pipeline.sweep(ws), "Sweep")


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where results go.")] = Path("artifacts"),
    overrides: SetOption = None,
) -> None:
    """The whole chain on a small generated phantom: a few minutes on two CPU cores; resumes."""
    from cli.bench import show_bench
    from cli.console import RichProgress
    from compress import pipeline
    from compress.bench.report import BenchReport
    from compress.config_io import from_document
    from compress.files import read_json
    from compress.steps.workspace import Workspace
    from compress.templates import demo_document

    ws = Workspace(from_document(demo_document(str(folder)), overrides or []), RichProgress())
    outcome = pipeline.run(ws)
    stored = read_json(ws.run.bench / f"bench-{ws.config.bench.provider}.json")
    show_bench(BenchReport.from_json({k: v for k, v in stored.items() if k != "dice_per_volume"}))
    _predict_one(ws)
    _show(outcome, "Dense and pruned networks on phantom (synthetic) data")


def _predict_one(ws: Workspace) -> None:
    """What a hospital would do with the result: check the file of the kept weights, and segment one study with it."""
    from cli.predict import show_predictions
    from cli.verify import verify
    from compress.steps.predicting import PredictRequest, predict

    model = next(stage.onnx for stage in ws.run.pruned_stages() if stage.root.name == "none")
    verify(model)
    study = ws.studies_of(ws.split.val)[0]
    request = PredictRequest(model, study.image_path.parent, ws.run.predictions, overlays=True, earlier="restart")
    show_predictions(predict(request, ws.progress))


def _show(outcome: Outcome, title: str) -> None:
    from cli.console import say, table
    from compress.steps.reporting import comparison_rows

    heads, rows = comparison_rows(outcome.rows, phantom=bool(outcome.rows[0]["phantom"]))
    if len(rows) <= _SIDE_BY_SIDE:
        heads, rows = [heads[0], *(row[0] for row in rows)], [list(line) for line in zip(heads, *rows, strict=True)][1:]
    table(title, heads, rows)
    say(f"Report: {outcome.report}")
