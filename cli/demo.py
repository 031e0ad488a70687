"""`cardiocompress demo`: everything, on a small phantom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import SetOption

if TYPE_CHECKING:
    from compress.rundir import Stage
    from compress.steps.workspace import Workspace


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where results go.")] = Path("artifacts"),
    overrides: SetOption = None,
) -> None:
    """The whole chain on a small generated phantom, from training to the bundle; minutes on two CPU cores; resumes."""
    from cli.bench import show_bench
    from cli.chain import show_outcome
    from cli.console import RichProgress
    from compress import pipeline
    from compress.config.read import from_document
    from compress.config.templates import demo_document
    from compress.steps.reporting.facts import read_bench
    from compress.steps.workspace import Workspace

    ws = Workspace(from_document(demo_document(str(folder)), overrides or []), RichProgress())
    outcome = pipeline.run(ws)
    show_bench(read_bench(ws.run.bench / f"bench-{ws.config.bench.provider}.json").report)
    small = next(stage for stage in ws.run.pruned_stages() if stage.root.name == "keep")
    _quantize(ws, small)
    accepted = _gate(ws, small)
    _ship(ws, small, ungated=not accepted)
    _predict_one(ws, small)
    show_outcome(outcome, "Dense and pruned networks on phantom (synthetic) data")


def _quantize(ws: Workspace, small: Stage) -> None:
    """A file that is not faster is refused, which on a processor without VNNI is what to expect."""
    from cli.console import say
    from cli.quantize import show_quantized
    from compress.errors import GateError
    from compress.steps.quantizing.quantize import QuantizeRequest, quantize

    chosen, bench = ws.config.quantization, ws.config.bench
    request = QuantizeRequest(
        small.onnx, method=chosen.method, budget=chosen.budget, slices=chosen.slices, rounds=bench.rounds
    )
    try:
        show_quantized(quantize(ws, request))
    except GateError as refusal:
        say(f"quantize (phantom): {refusal}")


def _gate(ws: Workspace, small: Stage) -> bool:
    from cli.console import say
    from cli.gate import show_verdict
    from compress.steps.gating.gate import GateRequest, gate

    verdict, files = gate(ws, GateRequest(ws.run.baseline.onnx, small.onnx))
    show_verdict(verdict)
    say(f"{verdict.sentence} Verdict: {files.root}")
    return verdict.accepted


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
