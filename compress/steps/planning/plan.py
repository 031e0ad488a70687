"""From a budget to widths: sensitivity, cost, allocation, and the measured truth about the prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from compress.config import Ratios
from compress.errors import ConfigError, PlanError
from compress.files import write_json, write_text
from compress.prune.allocate import Grid
from compress.prune.groups import Group
from compress.prune.plan import PruningPlan, save_plan
from compress.prune.ranking import grid_of
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.target import Target
from compress.runtime.providers import find_provider
from compress.steps.planning.costs import Network, count_of
from compress.steps.planning.depth import Move
from compress.steps.planning.latency import Timing, refuse_unmeasurable, time_pruned
from compress.steps.planning.precision import image_of, refuse_precision, write_int8
from compress.steps.planning.request import BudgetRequest
from compress.steps.planning.search import Option, Problem, Search
from compress.steps.planning.sensitivity import measure_sensitivity, whole_plan
from compress.steps.pruning.depth import restructured
from compress.steps.pruning.ranking import rank
from compress.steps.training.dense import check_shape, dense_checkpoint
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class GroupWidth:
    """One group in the table of widths."""

    name: str
    before: int
    """Channels."""
    after: int
    ratio: float
    """The removed share."""
    reason: str


@dataclass(frozen=True)
class BudgetPlan:
    """Widths for a target, what they should cost and what they do cost."""

    target: Target
    widths: tuple[GroupWidth, ...]
    moves: tuple[Move, ...]
    """Every move of depth, taken or not."""
    dense_cost: float
    """Seconds per batch, multiply-adds or parameters, by the target's quantity."""
    predicted: float
    """Share of the dense network's cost."""
    timing: Timing | None
    """Only for latency."""
    ratios: Path
    plan: PruningPlan
    phantom: bool
    float_layers: tuple[str, ...] | None = None
    """Layers that stay in float32 where the others become INT8; None: planned for float32."""

    @property
    def error(self) -> float | None:
        """Predicted over measured share, minus 1; None when nothing had to be predicted."""
        return self.predicted / self.timing.share.median - 1 if self.timing else None


def plan_budget(ws: Workspace, request: BudgetRequest) -> BudgetPlan:
    """Depth and widths of the dense network that meet the target; writes ratios.yaml, plan.json and widths.json.

    Measures what is missing (sensitivity, and for latency the provider's layer times). Raises
    `ConfigError` for what contradicts itself, `PlanError` when the target cannot be reached and `ProviderError` when
    the provider is not there.
    """
    target, grid = request.target, _grid(request)
    refuse_precision(request.precision, target)
    _refuse_even_stages(ws)
    if target.quantity == "latency":
        refuse_unmeasurable(request.provider)
    check_shape(ws)
    dense = dense_checkpoint(ws)
    whole = Network.of(ws, dense, whole_plan(ws, dense))
    count = count_of(target.quantity, ws, whole, request.provider, grid, request.precision)
    # The dense network's time is predicted as well: what the model gets wrong for all widths alike cancels out.
    problem = Problem(target, target.share(count.dense), grid, count.dense)
    found = measure_sensitivity(ws, slices=request.slices, base=whole.base)
    option, moves = Search(ws, request, problem, whole, count, found).best()
    plan = _exact_plan(ws, option)
    timing = None
    if target.quantity == "latency":
        pruned = rebuild_checkpoint(restructured(ws, dense, option.ratios), plan)
        timing = time_pruned(ws, dense, pruned, provider=request.provider, finish=_finish(ws, option))
    widths = tuple(_width(group, option, target) for group in option.network.base.channel_groups)
    path = request.out or ws.run.planning.target(target.text).ratios
    result = BudgetPlan(
        target=target,
        widths=widths,
        moves=moves,
        dense_cost=count.dense,
        predicted=option.cost,
        timing=timing,
        ratios=path,
        plan=plan,
        phantom=dense.meta.phantom,
        float_layers=option.float_layers,
    )
    _write(ws, result, option.ratios, request)
    return result


def _refuse_even_stages(ws: Workspace) -> None:
    if ws.config.pruning.keep_nnunet_compatible:
        raise ConfigError(
            "A plan gives each convolution a width of its own, pruning.keep_nnunet_compatible asks for one per stage.",
            cure="Set it to false, or choose ratios yourself and prune with --keep-nnunet-compatible.",
        )


def _grid(request: BudgetRequest) -> Grid:
    provider = find_provider(request.provider).name
    grid = grid_of(provider if request.align is None else request.align)
    if request.target.quantity == "latency" and grid.block == 1:
        raise ConfigError(
            "Latency is only predicted for aligned widths; --align is none.",
            cure="Leave --align out, or use a target in macs or params.",
        )
    return grid


def _finish(ws: Workspace, option: Option) -> Callable[[Path], Path]:
    """What makes the file that is timed of a float one. Raises `PlanError` where INT8 gains in no layer."""
    in_float = option.float_layers
    if in_float is None:
        return lambda path: path
    if len(in_float) == len(option.network.layers(option.kept)):
        raise PlanError("Every layer of the planned network is faster in float32 here.", cure="Leave --precision out.")
    image = image_of(ws, option.network.checkpoint)
    return lambda path: write_int8(path, image=image, keep_float=in_float)


def _exact_plan(ws: Workspace, option: Option) -> PruningPlan:
    """What `prune --ratios` makes of the file that is written: the same call, checked."""
    ratios = option.ratios
    plan = rank(ws, restructured(ws, dense_checkpoint(ws), ratios), ws.config.pruning.but(ratios=ratios))
    if {name: len(units) for name, units in plan.kept.items()} != {n: c for n, c in option.kept.items() if c}:
        raise PlanError("The chosen widths cannot be written as ratios.", cure="Please report this.")
    return plan


def _width(group: Group, option: Option, target: Target) -> GroupWidth:
    units, choices = option.kept[group.name], option.choices[group.name]
    least = next(count for count in choices if count)
    if units == group.width:
        reason = "no narrower width is allowed" if least == units else "stays whole: narrowing costs too much Dice"
    else:
        saved = option.cost_of({**option.kept, group.name: group.width}) - option.cost
        reason = f"saves {saved:.1%} of the dense {target.quantity} for {option.tables[group.name][units]:.3f} Dice"
        reason += {0: ", gone: its block is a single convolution", least: ", narrowest allowed"}.get(units, "")
    return GroupWidth(group.name, group.width * group.per_unit, units * group.per_unit, 1 - units / group.width, reason)


_RATIOS_HEAD = """\
# Written by `cardiocompress plan --target {target}`: the share of each convolution's filters that is REMOVED.
# `align: none` keeps these very widths; they are aligned already. Blocks in `single` become single convolutions, and
# with `space_to_depth` the level of full resolution goes.
"""
_INT8_HEAD = """\
# Planned for INT8: export the pruned network, then `cardiocompress quantize MODEL --ratios THIS_FILE`, which leaves
# `float_layers` in float32, where they are faster on the machine that was planned for.
"""


def _write(ws: Workspace, result: BudgetPlan, ratios: Ratios, request: BudgetRequest) -> None:
    files = ws.run.planning.target(result.target.text)
    document = ratios.model_dump(mode="json", exclude_defaults=True) | {"default": 0.0}
    document = {key: document[key] for key in Ratios.model_fields if key in document}
    head = _RATIOS_HEAD.format(target=result.target.text) + (_INT8_HEAD if ratios.precision == "int8" else "")
    text = head + yaml.safe_dump(document, sort_keys=False)
    save_plan(result.plan, files.plan)
    timing = result.timing
    measured = timing and {**vars(timing), "share": vars(timing.share), "warnings": list(timing.warnings)}
    write_json(
        files.widths,
        {
            "target": result.target.text,
            "provider": request.provider,
            "precision": request.precision,
            "float_layers": result.float_layers,
            "network": result.plan.source,
            "phantom": result.phantom,
            "dense_cost": result.dense_cost,
            "predicted_share": result.predicted,
            "measured": measured,
            "prediction_error": result.error,
            "depth": [vars(move) for move in result.moves],
            "groups": [vars(w) for w in result.widths],
        },
    )
    write_text(files.ratios, text)
    if result.ratios != files.ratios:
        write_text(result.ratios, text)
