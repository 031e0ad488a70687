"""`cardiocompress quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.model_options import ModelArgument, ThreadsOption
from cli.options import ConfigOption, SetOption
from compress.choices import CALIBRATION_METHODS
from compress.registry import explained

if TYPE_CHECKING:
    from compress.steps.quantizing.quantize import Quantized
    from compress.steps.workspace import Workspace


def quantize(
    model: ModelArgument,
    config: ConfigOption = None,
    overrides: SetOption = None,
    to: Annotated[
        Literal["int8", "fp16"] | None, typer.Option("--to", help="int8 for processors, fp16 for NVIDIA GPUs.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Where it must be faster; int8: cpu, fp16: cuda.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", help=f"How ranges are found: {explained(CALIBRATION_METHODS)}, or auto: the best Dice of all."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="7|8|auto",
            help="Bits of INT8 weights: 7 is right on every processor, 8 needs VNNI; auto: 8 where this one has it.",
        ),
    ] = None,
    ratios: Annotated[
        Path | None,
        typer.Option("--ratios", help="ratios.yaml of `plan --precision int8`: which layers stay in float32."),
    ] = None,
    budget: Annotated[float | None, typer.Option("--budget", min=0, help="Largest loss of mean 3D Dice.")] = None,
    slices: Annotated[int | None, typer.Option("--slices", min=4, help="Training slices to measure ranges on.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Interleaved timing rounds.")] = None,
    threads: ThreadsOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; without it MODEL.int8.onnx.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Write the file even where it is not faster.")] = False,
) -> None:
    """Make an exported model smaller and faster: INT8 for processors, FP16 for GPUs.

    Ranges of activations are measured on training slices; method and layers are chosen by the Dice on the validation
    patients. The file keeps its model card and gets a self-test of its own. A file that loses more Dice than the
    budget, or is not measured faster than the float file here, is not written (exit code 4).
    """
    from cli.options import open_workspace
    from cli.pages import show_pages

    ws = open_workspace(
        config,
        overrides,
        quantization__kind=to,
        quantization__provider=provider,
        quantization__method=method,
        quantization__weights=int(weights) if weights and weights.isdecimal() else weights,
        quantization__budget=budget,
        quantization__slices=slices,
        quantization__keep=keep or None,
        bench__rounds=rounds,
        bench__threads=threads,
    )
    if ratios:
        ws = _as_planned(ws, ratios)
    from compress.steps.quantizing.quantize import quantize as run

    show_quantized(run(ws, model, out=out))
    show_pages(ws)


def _as_planned(ws: Workspace, path: Path) -> Workspace:
    """The workspace whose configuration leaves in float32 what the plan left there."""
    from compress.config.read import load_ratios
    from compress.errors import ConfigError
    from compress.steps.workspace import Workspace

    ratios = load_ratios(path, levels=len(ws.config.train.model.features))
    if ratios.precision != "int8":
        raise ConfigError(
            f"{path} is no plan for INT8: its precision is {ratios.precision}.",
            cure="Plan with `cardiocompress plan --precision int8 --target latency=...`, or leave --ratios out.",
        )
    chosen = ws.config.quantization.model_copy(update={"float_layers": ratios.float_layers})
    return Workspace(ws.config.model_copy(update={"quantization": chosen}), ws.progress)


def _ms(times: Sequence[float]) -> str:
    return f"{1e3 * median(times):.2f}"


def show_quantized(made: Quantized) -> None:
    """Float beside quantized, then what was chosen."""
    from cli.console import say, table, warn

    mark = " (phantom)" if made.phantom else ""
    ratio, control = made.speedup, made.latency.control_ratio
    sizes = [made.source.size, made.path.stat().st_size]
    rows = [[f"Dice{mark}", f"{made.before.mean_dice:.4f}", f"{made.after.mean_dice:.4f}"]]
    rows += [
        [f"Dice {name}{mark}", f"{value:.4f}", f"{made.after.structure_dice[name]:.4f}"]
        for name, value in made.before.structure_dice.items()
    ]
    rows += [["file (MiB)", *(f"{size / 2**20:.2f}" for size in sizes)]]
    rows += [["times as fast", "1", f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"]]
    rows += [["wall time (ms)", *(_ms(times) for times in made.latency.samples.values())]]
    if made.latency.cpu:
        rows += [["processor time (ms)", *(_ms(times) for times in made.latency.cpu.values())]]
    table(f"{made.kind.upper()} against float32{mark}", ["", "float32", made.kind.upper()], rows)
    load = "" if made.latency.load is None else f"; load before timing {made.latency.load:.1f}"
    say(f"A/A control: {control.median:.2f} ({control.low:.2f} to {control.high:.2f}){load}")
    if made.search:
        kept = ", ".join(made.float_layers) or "none"
        tried = "; ".join(
            f"{t.method}{f' with {len(t.float_layers)} layers in float' if t.float_layers else ''} {t.dice:.4f}"
            for t in made.search.trials
        )
        for name, (in_float, in_int8) in made.search.seconds.items():
            if in_int8 > in_float and name in made.float_layers:
                say(f"Slower in INT8: {name}, {1e3 * in_int8:.2f} ms against {1e3 * in_float:.2f} ms.")
        say(f"Ranges by {made.method}; layers left in float32: {kept} (of {made.layers}). Dice tried{mark}: {tried}.")
    for text in made.latency.warnings:
        warn(text)
    if not made.faster:
        warn(f"{made.kind.upper()} is no improvement here: it was not measured faster. Written because of --keep.")
    say(f"{'Improvement' if made.faster else 'No improvement'}: {made.path}")
