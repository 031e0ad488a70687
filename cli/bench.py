"""`cardiocompress bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, ConfiguredProviderOption, SetOption
from compress.terms import DEFAULT_FILE

if TYPE_CHECKING:
    from compress.bench.report import BenchReport
    from compress.steps.workspace import Workspace


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="ONNX files or bundles' folders, the baseline first. Without them: the run's own."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    provider: ConfiguredProviderOption = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Interleaved rounds.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Images per run.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    no_dice: Annotated[bool, typer.Option("--no-dice", help="Measure speed, memory and size only.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Without a configuration: the JSON to send back, ./bench.json.")
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", help="Take in the JSON of another machine, beside the run's own. Repeatable."),
    ] = None,
) -> None:
    """Compare ONNX files: interleaved latency, throughput, memory, size, cost, and Dice through the session.

    Where there is no configuration (a machine that only runs models), files alone are compared: self-test, speed,
    memory and size, in one JSON that can be sent back and that --add takes into the run's page. A provider that is not
    truly there ends with exit code 3: no other provider is measured in its place.
    """
    if files and not add and config is None and not overrides and not Path(DEFAULT_FILE).is_file():
        _measure_alone(files, provider or "cpu", rounds, batch_size, threads, out)
        return
    from cli.options import open_workspace
    from cli.pages import show_pages
    from compress.errors import ConfigError

    if out is not None:
        raise ConfigError(
            "--out is for files without a configuration; here results go into the run folder.", cure="Leave it out."
        )
    ws = open_workspace(
        config,
        overrides,
        bench__provider=provider,
        bench__rounds=rounds,
        bench__batch_size=batch_size,
        bench__threads=threads,
        bench__dice=False if no_dice else None,
    )
    if add:
        _take_in(ws, add, files)
    else:
        _measure(ws, files)
    show_pages(ws)


def _measure(ws: Workspace, files: list[Path] | None) -> None:
    from compress.bench.names import named_models
    from compress.inference.measure import files_of
    from compress.runtime.proof import prove
    from compress.steps.benching.bench import bench as measure
    from compress.steps.benching.bench import run_models

    prove(ws.config.bench.provider)
    show_bench(measure(ws, named_models(files_of(files)) if files else run_models(ws)))


def _take_in(ws: Workspace, records: list[Path], files: list[Path] | None) -> None:
    from cli.console import say
    from compress.errors import ConfigError
    from compress.steps.benching.elsewhere import take_in

    if files:
        raise ConfigError("--add takes in what was measured already; no file is measured beside it.")
    for record in records:
        say(f"taken in: {take_in(ws, record)}")


def _measure_alone(
    files: list[Path], provider: str, rounds: int | None, batch: int | None, threads: int | None, out: Path | None
) -> None:
    from cli.console import RichProgress, say, table, warn
    from compress.bench.machine_table import table as cells
    from compress.inference.measure import DEFAULT_OUT, MeasureRequest, measure_files
    from compress.runtime.proof import prove

    prove(provider)
    given = {"rounds": rounds, "batch_size": batch, "threads": threads}
    request = MeasureRequest(provider, **{name: value for name, value in given.items() if value is not None})
    target = out or DEFAULT_OUT
    found = measure_files(files, request, out=target, progress=RichProgress())
    heads, rows = cells(found)
    turned = [[head, *(row[index] for row in rows)] for index, head in enumerate(heads) if index > 0]
    table(f"Batch {' x '.join(map(str, found.shape))} on {found.provider}", ["", *(row[0] for row in rows)], turned)
    load = "" if found.load is None else f"; load before timing {found.load:.1f}"
    say(f"{found.environment.cpu}, {found.threads} of {found.environment.cores} core(s){load}")
    for warning in found.warnings:
        warn(warning)
    say(f"Written: {target}. It holds no host name, path or image, and can be sent back.")


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
