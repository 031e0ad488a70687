"""`cardiocompress gate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.model_options import ThreadsOption
from cli.options import ConfigOption, ConfiguredProviderOption, SetOption

if TYPE_CHECKING:
    from compress.evaluate.verdict import Verdict
    from compress.steps.workspace import Workspace


def gate(
    baseline: Annotated[Path, typer.Argument(help="The exported model (.onnx) that is trusted.")],
    candidate: Annotated[Path, typer.Argument(help="The one that is to take its place.")],
    folds: Annotated[
        list[Path] | None,
        typer.Option(
            "--folds",
            metavar="RUN",
            help="A run folder, once for each fold (train.folds): both files are looked for in it, and scored on its "
            "validation patients; all are judged together.",
        ),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    provider: ConfiguredProviderOption = None,
    threads: ThreadsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the verdict. Without it: gate/CANDIDATE in the run.")
    ] = None,
) -> None:
    """Decide whether a candidate is no worse than its baseline, patient by patient.

    Both are scored on the validation patients, or on evaluation.paths.eval_dir. Dice and HD95 of every structure and
    the errors of volumes, EF and mass must each stay inside their margin (gate.margins) with a 95% interval; no
    structure, disease group or patient may be worse than gate.limits. A refusal is exit code 4.
    """
    from cli.console import say
    from cli.options import open_workspace
    from cli.pages import show_pages

    options = {"bench__provider": provider, "bench__threads": threads}
    runs = [_fold(run, config, overrides, options) for run in folds or ()]
    ws = runs[0] if runs else open_workspace(config, overrides, **options)
    from compress.errors import GateError
    from compress.steps.gating.gate import Pair, gate_pairs

    pairs = [Pair(each, each.run.root / baseline, each.run.root / candidate) for each in runs]
    verdict, files = gate_pairs(pairs or [Pair(ws, baseline, candidate)], out=out)
    show_verdict(verdict)
    say(f"Verdict: {files.root}")
    show_pages(ws)
    if not verdict.accepted:
        raise GateError(verdict.sentence, cure="How to read it: docs/how_to/verdict.md.")
    say(verdict.sentence)


def _fold(run: Path, config: Path | None, overrides: list[str] | None, options: dict[str, Any]) -> Workspace:
    """The workspace of one run folder, wherever it lies now."""
    from cli.options import open_workspace
    from compress.errors import ConfigError

    if config is not None:
        raise ConfigError("--folds reads the config.yaml of each run.", cure="Leave out --config.")
    here = [f"train.paths.save_root={run.resolve().parent}", f"experiment.experiment_name={run.resolve().name}"]
    return open_workspace(run / "config.yaml", [*(overrides or []), *here], **options)


def show_verdict(verdict: Verdict) -> None:
    """The table of endpoints, the limits, and what the cohort cannot show."""
    from cli.console import say, table
    from compress.evaluate.verdict_table import ENDPOINT_HEADS, LIMIT_HEADS, endpoint_cells, limit_cells

    mark = " (phantom)" if verdict.phantom else ""
    title = f"{verdict.candidate.name} against {verdict.baseline.name}, {verdict.patients} patients{mark}"
    table(title, ENDPOINT_HEADS, [endpoint_cells(row) for row in verdict.endpoints], left=2)
    table(f"Limits{mark}", LIMIT_HEADS, [limit_cells(row) for row in verdict.limits], left=2)
    say(verdict.caveat)
