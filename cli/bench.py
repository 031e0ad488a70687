"""`cardiocompress bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, ConfiguredProviderOption, SetOption

if TYPE_CHECKING:
    from compress.bench.report import BenchReport


def bench(
    files: Annotated[
        list[Path] | None, typer.Argument(help="ONNX files, the baseline first. Without them: the run's own.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    provider: ConfiguredProviderOption = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Interleaved rounds.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Images per run.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    no_dice: Annotated[bool, typer.Option("--no-dice", help="Measure speed, memory and size only.")] = False,
) -> None:
    """Compare ONNX files: interleaved latency, throughput, memory, size, cost, and Dice through the session.

    A provider that is not truly there ends with exit code 3: no other provider is measured in its place.
    """
    from cli.options import open_workspace
    from cli.pages import show_pages

    ws = open_workspace(
        config,
        overrides,
        bench__provider=provider,
        bench__rounds=rounds,
        bench__batch_size=batch_size,
        bench__threads=threads,
        bench__dice=False if no_dice else None,
    )
    from compress.runtime.proof import prove
    from compress.steps.benching.bench import bench as measure
    from compress.steps.benching.bench import run_models
    from compress.steps.networks import named_models

    prove(ws.config.bench.provider)
    report = measure(ws, named_models(files) if files else run_models(ws))
    show_bench(report)
    show_pages(ws)


def show_bench(report: BenchReport) -> None:
    """The table turned on its side, one column per model, so that it fits a terminal; then warnings."""
    from cli.console import say, table
    from compress.bench.table import notes
    from compress.bench.table import table as cells

    heads, rows = cells(report)
    turned = [[head, *(row[i] for row in rows)] for i, head in enumerate(heads) if i > 0]
    table(f"Benchmark, batch {' x '.join(map(str, report.shape))}", ["", *(row[0] for row in rows)], turned)
    say("Efficiency: speed-up divided by MAC reduction. Parameters: as in the file, BatchNorm folded.")
    for note in notes(report):
        say(note)
    for warning in report.warnings:
        say(f"warning: {warning}")
