"""`cardiocompress prune` and `cardiocompress finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, RestartOption, ResumeOption, SetOption
from compress.choices import CRITERIA
from compress.registry import explained

if TYPE_CHECKING:
    from compress.prune.plan import PruningPlan
    from compress.steps.pruning.prune import PruneResult
    from compress.steps.workspace import Workspace

RatiosOption = Annotated[
    Path | None,
    typer.Option("--ratios", "-r", help="YAML with `default` and `block_ratios`. Without it: the configuration's."),
]
InitOption = Annotated[
    str | None,
    typer.Option("--init", help="What the kept channels restart from: keep (trained weights stay), random or rewind."),
]
EpochsOption = Annotated[
    str | None,
    typer.Option("--finetune", metavar="EPOCHS|auto|none", help="Retraining epochs. Without it: the configuration's."),
]
RecoverOption = Annotated[
    bool,
    typer.Option(
        "--recover",
        help="Retrain by the recipe that gave back most: compensation, the dense network as teacher, averaged weights, "
        "and as many epochs as the dense network's training pays for. Options given beside it win.",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Folder under pruned/. Without it: the --init word.")]

MethodOption = Annotated[str | None, typer.Option("--method", help=f"Ranking: {explained(CRITERIA)}.")]
ScopeOption = Annotated[
    str | None, typer.Option("--scope", help="local: each block loses its ratio. global: one ranking over all.")
]
AlignOption = Annotated[
    str | None,
    typer.Option("--align", metavar="auto|none|N", help="Widths become multiples of it; none: textbook rounding."),
]
ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", help="lr-rewind: the full schedule again. finetune: a constant tenth of the rate."),
]
DistillOption = Annotated[
    float | None,
    typer.Option("--distill", min=0.0, max=1.0, help="Share of the loss that the dense network teaches; 0: off."),
]
RoundsOption = Annotated[
    int | None, typer.Option("--rounds", min=1, help="Prune in so many steps; the epochs are divided over them.")
]
CompensateOption = Annotated[
    bool | None,
    typer.Option("--compensate/--no-compensate", help="Fit kept weights to the dense network's outputs first."),
]
CompatibleOption = Annotated[
    bool | None,
    typer.Option("--keep-nnunet-compatible", help="One width per stage, so that export-nnunet can give it back."),
]


def prune(
    config: ConfigOption = None,
    overrides: SetOption = None,
    ratios: RatiosOption = None,
    init: InitOption = None,
    finetune: EpochsOption = None,
    name: NameOption = None,
    method: MethodOption = None,
    scope: ScopeOption = None,
    align: AlignOption = None,
    schedule: ScheduleOption = None,
    distill: DistillOption = None,
    rounds: RoundsOption = None,
    compensate: CompensateOption = None,
    keep_nnunet_compatible: CompatibleOption = None,
    recover: RecoverOption = False,
    resume: ResumeOption = False,
    restart: RestartOption = False,
) -> None:
    """Remove whole filters from the dense network, rebuild it smaller and retrain it.

    Writes plan, masks, the smaller network with its meta.json, a drawing of the widths, and the scores
    right after pruning and after retraining, to pruned/NAME in the run folder.
    """
    from cli.options import open_workspace, policy_of
    from cli.pages import show_pages
    from compress.config import RECOVERY

    recipe = [f"pruning.{setting}" for setting in RECOVERY] if recover else []
    ws = open_workspace(
        config,
        [*recipe, *(overrides or [])],
        pruning__name=name,
        pruning__reinitialize_weights=init,
        pruning__finetune_epochs=_number("--finetune", finetune, none=0, auto="auto"),
        pruning__method=method,
        pruning__scope=scope,
        pruning__ratios__align=_number("--align", align, auto="auto", none="none"),
        pruning__schedule=schedule,
        pruning__distill=distill,
        pruning__rounds=rounds,
        pruning__compensate=compensate,
        pruning__keep_nnunet_compatible=keep_nnunet_compatible,
    )
    from compress.steps.pruning.prune import prune_and_retrain

    if ratios is not None:
        ws = _with_ratios(ws, ratios, keep_align=align is not None)
    result = prune_and_retrain(ws, ws.config.pruning, policy=policy_of(resume, restart, replace=True))
    _show(ws, result)
    show_pages(ws)


def finetune(
    config: ConfigOption = None,
    overrides: SetOption = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Without it: the configuration's.")] = None,
    name: Annotated[str, typer.Option("--name", help="Which pruned network: its folder under pruned/.")] = "keep",
    resume: ResumeOption = False,
    restart: RestartOption = False,
) -> None:
    """Retrain a pruned network that `prune --finetune none` left.

    Learning rate and teacher follow pruning.schedule and pruning.distill of the configuration.
    """
    from cli.console import say
    from cli.options import check_name, open_workspace, policy_of
    from cli.pages import show_pages

    ws = open_workspace(config, overrides, pruning__finetune_epochs=epochs)
    from compress.steps.pruning.prune import finetune as retrain

    stage = ws.run.pruned(check_name(name))
    final, report = retrain(ws, stage, policy=policy_of(resume, restart))
    say(f"3D Dice after retraining{' (phantom)' if final.meta.phantom else ''}: {report.mean_dice:.4f}")
    show_pages(ws)


def _with_ratios(ws: Workspace, path: Path, *, keep_align: bool) -> Workspace:
    """The workspace whose configuration has the ratios of a file, and their alignment unless an option gave one."""
    from compress.config.read import load_ratios
    from compress.steps.workspace import Workspace

    pruning, levels = ws.config.pruning, len(ws.config.train.model.features)
    ratios = load_ratios(path, levels=levels)
    if keep_align:
        ratios = ratios.model_copy(update={"align": pruning.ratios.align})
    return Workspace(ws.config.model_copy(update={"pruning": pruning.but(ratios=ratios)}), ws.progress)


def _number(option: str, word: str | None, **words: int | str) -> int | str | None:
    """What an option that takes numbers and some words was given, as the configuration has it; null: not given."""
    from compress.errors import ConfigError

    if word is None or word.isdecimal():
        return None if word is None else int(word)
    if word not in words:
        raise ConfigError(f"{option} is '{word}'; a whole number or the word {' or '.join(words)} is needed.")
    return words[word]


def _show(ws: Workspace, result: PruneResult) -> None:
    from cli.console import say
    from compress.files import read_json
    from compress.models.checkpoint import read_meta

    show_widths(result.plan)
    meta = read_json(result.stage.meta)
    mark = " (phantom)" if read_meta(result.stage.final).phantom else ""
    for key, unit in (("parameters", "parameters"), ("macs", "MACs")):
        before, after = meta["dense"][key], meta[key]
        say(f"{unit}: {before:,} -> {after:,} ({after / before:.1%})")
    say(f"3D Dice right after pruning{mark}: {result.after_pruning.mean_dice:.4f}")
    say(f"3D Dice at the end{mark}:          {result.after_retraining.mean_dice:.4f}")


def show_widths(plan: PruningPlan) -> None:
    """Every group's channels, its asked and achieved ratio and why they differ; and what was left whole."""
    from cli.console import say, table

    rows = []
    for name, group in plan.groups.items():
        stand_in = "" if group.criterion == plan.criterion else f"scored by {group.criterion}"
        why = "; ".join(part for part in (group.reason, stand_in) if part)
        each = group.group(name).per_unit
        counts = [str(group.width * each), str(len(group.kept) * each)]
        rows.append([name, *counts, f"{group.asked:.3f}", f"{group.achieved:.3f}", why])
    table("Channels per convolution", ["convolution", "before", "after", "ratio asked", "achieved", "why"], rows)
    for name, reason in plan.whole.items():
        say(f"Left whole: {name}: {reason}")
