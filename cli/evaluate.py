"""`cardiocompress eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.export import BareOption, HolesOption, PostprocessOption, tidied_as, tidying
from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.rundir import Stage
    from compress.steps.workspace import Workspace


def evaluate(
    config: ConfigOption = None,
    overrides: SetOption = None,
    networks: Annotated[
        list[str] | None,
        typer.Option("--network", "-n", help="dense, or a pruned network's folder name. Repeatable."),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Any checkpoint file instead.")] = None,
    postprocess: PostprocessOption = None,
    fill_holes: HolesOption = None,
    drop_bare: BareOption = None,
) -> None:
    """Score networks in 3D on the validation patients, or on evaluation.paths.eval_dir.

    Dice, IoU, accuracy, precision, recall and HD95 per structure and phase; volumes, EF and mass with bias, SD and
    correlation; overlays of the best, median and worst slices. Masks are those of a file that `export` writes from the
    same configuration. Without --network, evaluation.phase decides: the
    dense network or the pruned one.
    """
    from cli.console import say
    from cli.options import open_workspace
    from cli.pages import show_pages
    from cli.scores import show_scores

    ws = open_workspace(config, overrides, **tidying(postprocess, fill_holes, drop_bare))
    from compress.models.checkpoint import load
    from compress.rundir import external_evaluation
    from compress.steps.scoring.checkpoint import evaluate_checkpoint

    for name, path, stage in _targets(ws, networks, checkpoint):
        found = load(path)
        external = ws.config.evaluation.paths.eval_dir is not None
        folder = external_evaluation(ws.config, stage=stage) if external else stage.evaluation
        cohort = ws.evaluation
        whole = ws.config.evaluation.num_slices_per_volume is None
        report = evaluate_checkpoint(ws, found, folder, name=name, cohort=cohort)
        show_scores(report, name, phantom=cohort.phantom, clinical=whole)
        say(f"Scores and pictures: {folder}")
        if (differs := _exported_otherwise(stage, folder)) is not None:
            say(f"note: {differs}")
    show_pages(ws)


def _exported_otherwise(stage: Stage, folder: Path) -> str | None:
    """What to know where the exported file makes other masks than those that were scored."""
    from compress.data.tidy import TidyRule
    from compress.files import read_json
    from compress.rundir import ScoreFiles

    if not stage.onnx.is_file():
        return None
    rule = tidied_as(stage)
    if read_json(ScoreFiles(folder).scores).get("postprocessing", str(TidyRule())) == rule:
        return None
    return f"the exported file does otherwise with masks: {rule}"


def _targets(ws: Workspace, networks: list[str] | None, checkpoint: Path | None) -> list[tuple[str, Path, Stage]]:
    from compress.errors import ConfigError
    from compress.rundir import Stage

    if checkpoint is not None:
        if networks:
            raise ConfigError("--checkpoint and --network exclude each other.")
        return [(checkpoint.stem, checkpoint, Stage(ws.run.root / f"eval-{checkpoint.stem}", checkpoint.name))]
    if not networks:
        pruned = ws.config.evaluation.phase == "pruned_evaluation"
        networks = [ws.config.pruning.reinitialize_weights] if pruned else ["dense"]
    stages = [(n, ws.run.baseline if n == "dense" else ws.run.pruned(n)) for n in networks]
    return [(n if n == "dense" else f"pruned-{n}", stage.final, stage) for n, stage in stages]
