"""`cardiocompress demo`: everything, on a small phantom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import SetOption

if TYPE_CHECKING:
    from compress.config import Gate
    from compress.pipeline import Outcome
    from compress.rundir import Stage
    from compress.steps.workspace import Workspace


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where results go.")] = Path("artifacts"),
    overrides: SetOption = None,
) -> None:
    """The whole chain on a small generated phantom, from training to the bundle; minutes on two CPU cores; resumes."""
    from cli.bench import show_bench
    from cli.console import RichProgress, say
    from cli.holding import hold
    from compress import pipeline
    from compress.bench.report import BenchReport
    from compress.config.read import from_document
    from compress.config.templates import demo_document
    from compress.files import read_json
    from compress.steps.workspace import Workspace

    ws = Workspace(from_document(demo_document(str(folder)), overrides or []), RichProgress())
    hold(ws.run.root, ws.progress)
    outcome = pipeline.run(ws)
    show_bench(BenchReport.from_json(read_json(ws.run.bench(ws.config.bench.provider).record)))
    small = ws.run.pruned(ws.config.sweep.inits[0])
    for stage in (ws.run.baseline, small):
        _quantize(ws, stage)
    say(gate_settings(ws.config.gate))
    accepted = _gate(ws, small)
    _refuse_damaged(ws, small)
    _ship(ws, small, ungated=not accepted)
    _predict_one(ws, small)
    _tell(ws, outcome)


def gate_settings(gate: Gate) -> str:
    """Where a gate is laxer or stricter than the default one, setting by setting."""
    from compress.evaluate.again import departures

    changed = departures(gate)
    return f"The gate's settings: {'; '.join(changed)}." if changed else "The gate's settings are all at their default."


def _quantize(ws: Workspace, stage: Stage) -> None:
    """A file that is not faster is refused: expected of small networks, and of processors without VNNI."""
    from cli.console import say
    from cli.quantize import show_quantized
    from compress.errors import GateError
    from compress.steps.quantizing.quantize import quantize

    say(f"INT8 of {stage.onnx} (phantom):")
    try:
        show_quantized(quantize(ws, stage.onnx))
    except GateError as refusal:
        say(f"Refused (phantom): {refusal}")


def _gate(ws: Workspace, small: Stage) -> bool:
    from cli.console import say
    from cli.gate import show_verdict
    from compress.steps.gating.gate import gate

    verdict, files = gate(ws, ws.run.baseline.onnx, small.onnx)
    show_verdict(verdict)
    say(f"{verdict.sentence} Verdict: {files.root}")
    return verdict.accepted


def _refuse_damaged(ws: Workspace, small: Stage) -> None:
    """What a refusal looks like: the same network, made blind for one structure."""
    from cli.console import say
    from compress.steps.exporting.damaged import export_damaged
    from compress.steps.gating.gate import gate

    damaged = export_damaged(ws, small)
    verdict, files = gate(ws, ws.run.baseline.onnx, damaged.onnx)
    say("An example of a refusal: a copy of the pruned network, damaged on purpose so that it cannot find the RV.")
    say(f"{verdict.sentence} Verdict: {files.root}")


def _ship(ws: Workspace, small: Stage, *, ungated: bool) -> None:
    from cli.ship import show_shipped
    from cli.verify import verify
    from compress.bundle.ship import ShipRequest, ship

    request = ShipRequest(
        small.onnx, ws.run.baseline.onnx, out=ws.run.bundle, run=ws.run, ungated=ungated, restart=True
    )
    shipped = ship(request)
    show_shipped(shipped)
    verify(shipped.folder)


def _predict_one(ws: Workspace, small: Stage) -> None:
    """What a hospital would do with the result: segment one study with the file of the kept weights."""
    from cli.predict import show_predictions
    from compress.inference.predict import PredictRequest, predict

    study = ws.cases_of(ws.split.val)[0]
    request = PredictRequest(small.onnx, study.image_path.parent, ws.run.predictions, overlays=True, earlier="restart")
    show_predictions(predict(request, ws.progress))


def _tell(ws: Workspace, outcome: Outcome) -> None:
    """Write report and page again, now with the verdicts and INT8, and show the table of networks."""
    from cli.chain import show_outcome
    from cli.console import say
    from compress.steps.reporting.refresh import write_pages

    write_pages(ws)
    dense, small = (row["epochs"] for row in outcome.rows[:2])
    say(
        f"The dense network (phantom) trained {dense} epochs and each pruned one {small} more: part of what a pruned "
        "network gains is simply more training."
    )
    show_outcome(outcome, "Dense and pruned networks on phantom (synthetic) data")
