"""`cardiocompress prune` and `cardiocompress finetune`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, RestartOption, ResumeOption, SetOption
from compress.choices import CRITERIA
from compress.registry import explained

if TYPE_CHECKING:
    from compress.config import Align
    from compress.prune.plan import PruningPlan
    from compress.steps.pruning.prune import PruneResult
    from compress.steps.pruning.request import PruneRequest
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
    typer.Option("--finetune", metavar="EPOCHS|none", help="Retraining epochs. Without it: the configuration's."),
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
    resume: ResumeOption = False,
    restart: RestartOption = False,
) -> None:
    """Remove whole filters from the dense network, rebuild it smaller and retrain it.

    Writes plan, masks, the smaller network with its meta.json, a drawing of the widths, and the scores
    right after pruning and after retraining, to pruned/NAME in the run folder.
    """
    from cli.options import check_name, open_workspace, policy_of
    from cli.pages import show_pages

    ws = open_workspace(config, overrides)
    from compress.config.read import load_ratios
    from compress.steps.pruning.prune import prune_and_retrain
    from compress.steps.pruning.request import default_request

    request = default_request(ws)
    if ratios is not None:
        request = replace(request, ratios=load_ratios(ratios, levels=len(ws.config.train.model.features)))
    if align is not None:
        request = replace(request, ratios=request.ratios.model_copy(update={"align": _align(align)}))
    request = _words(request, init=init, method=method, scope=scope, schedule=schedule)
    asked = {"distill": distill, "rounds": rounds, "compensate": compensate}
    asked["epochs"] = None if finetune is None else _epochs(finetune)
    request = replace(request, **{key: value for key, value in asked.items() if value is not None})
    request = replace(request, name=check_name(name or request.init))
    result = prune_and_retrain(ws, request, policy=policy_of(resume, restart, replace=True))
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

    ws = open_workspace(config, overrides)
    from compress.steps.pruning.prune import finetune as retrain

    stage = ws.run.pruned(check_name(name))
    final, report = retrain(ws, stage, epochs=epochs, policy=policy_of(resume, restart))
    say(f"3D Dice after retraining{' (phantom)' if final.meta.phantom else ''}: {report.mean_dice:.4f}")
    show_pages(ws)


def _words(request: PruneRequest, **asked: str | None) -> PruneRequest:
    """The request with every word that was given, each checked against its table."""
    from compress.choices import criterion_words
    from compress.config import INITS, SCHEDULES, SCOPES, init_word
    from compress.registry import pick

    known: dict[str, dict[str, str]] = {
        "init": {name: name for name in INITS},
        "method": criterion_words(),
        "scope": {name: name for name in SCOPES},
        "schedule": {name: name for name in SCHEDULES},
    }
    titles = {"init": "initialisation"}
    given = {key: word for key, word in asked.items() if word is not None}
    given |= {"init": str(init_word(given["init"]))} if "init" in given else {}
    return replace(request, **{key: pick(titles.get(key, key), known[key], word) for key, word in given.items()})


def _align(word: str) -> Align:
    from compress.config import check_align
    from compress.errors import ConfigError

    try:
        return check_align(int(word) if word.isdigit() else word)
    except ValueError:
        raise ConfigError(f"--align is '{word}'; auto, none or a positive whole number is needed.") from None


def _epochs(word: str) -> int:
    from compress.errors import ConfigError

    if word == "none":
        return 0
    if not word.isdigit():
        raise ConfigError(f"--finetune is '{word}'; a number of epochs or the word none is needed.")
    return int(word)


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
