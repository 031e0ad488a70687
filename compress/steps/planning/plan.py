"""From a budget to widths: sensitivity, cost, allocation, and the measured truth about the prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from compress.config import Ratios
from compress.errors import ConfigError, PlanError
from compress.files import write_json, write_text
from compress.models.checkpoint import Checkpoint
from compress.prune.allocate import Grid
from compress.prune.budget import Cost, Kept, Tables, allocate, allowed_counts, interpolate, ratios_of
from compress.prune.groups import Group
from compress.prune.plan import PruningPlan, save_plan
from compress.prune.ranking import grid_of
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.shapes import Shapes
from compress.prune.target import Target
from compress.runtime.providers import find_provider
from compress.steps.planning.latency import Timing, latency_model, refuse_unmeasurable, time_pruned
from compress.steps.planning.sensitivity import SLICES, Sensitivity, measure_sensitivity, whole_plan
from compress.steps.pruning.ranking import rank
from compress.steps.training.dense import check_shape, dense_checkpoint
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class BudgetRequest:
    """What is asked of `plan_budget`."""

    target: Target
    provider: str = "cpu"
    align: int | str | None = None
    """Channels per multiple, or none; null: the provider's vector width."""
    slices: int = SLICES
    out: Path | None = None
    """Where ratios.yaml goes; null: into the run folder."""


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
    dense_cost: float
    """Seconds per batch, multiply-adds or parameters, by the target's quantity."""
    predicted: float
    """Share of the dense network's cost."""
    timing: Timing | None
    """Only for latency."""
    ratios: Path
    plan: PruningPlan
    phantom: bool

    @property
    def error(self) -> float | None:
        """Predicted over measured share, minus 1; None when nothing had to be predicted."""
        return self.predicted / self.timing.share.median - 1 if self.timing else None


def plan_budget(ws: Workspace, request: BudgetRequest) -> BudgetPlan:
    """Widths of the dense network that meet the target; writes ratios.yaml, plan.json and widths.json.

    Measures what is missing (sensitivity, and for latency the provider's layer times). Raises
    `PlanError` when the target cannot be reached and `ProviderError` when the provider is not there.
    """
    target, grid = request.target, _grid(request)
    if target.quantity == "latency":
        refuse_unmeasurable(request.provider)
    check_shape(ws)
    dense = dense_checkpoint(ws)
    base = whole_plan(ws, dense)
    example = torch.zeros(1, dense.meta.arguments["in_channels"], *ws.rules.size)
    shapes = Shapes(dense.network, example, base.channel_groups)
    cost, dense_cost = _COSTS[target.quantity](ws, dense, base, shapes, request.provider, grid)
    share = target.share(dense_cost)
    choices = {g.name: allowed_counts(g, grid=grid) for g in base.channel_groups}
    found = measure_sensitivity(ws, slices=request.slices, base=base)
    tables = damage_tables(found, base, choices)

    def show(value: float) -> str:
        return f"{value:.3g}x {target.quantity}"

    kept = allocate(choices, cost, damage=tables, target=share, show=show)
    plan = _exact_plan(ws, dense, base, kept)
    timing = None
    if target.quantity == "latency":
        timing = time_pruned(ws, dense, rebuild_checkpoint(dense, plan), provider=request.provider)
    widths = tuple(_width(g, kept, choices[g.name], cost, tables, target) for g in base.channel_groups)
    path = request.out or ws.run.planning.target(target.text).ratios
    result = BudgetPlan(target, widths, dense_cost, cost(kept), timing, path, plan, dense.meta.phantom)
    _write(ws, result, ratios_of(base, kept), request)
    return result


def _grid(request: BudgetRequest) -> Grid:
    provider = find_provider(request.provider).name
    grid = grid_of(provider if request.align is None else request.align)
    if request.target.quantity == "latency" and grid.block == 1:
        raise ConfigError(
            "Latency is only predicted for aligned widths; --align is none.",
            cure="Leave --align out, or use a target in macs or params.",
        )
    return grid


def _latency(
    ws: Workspace, dense: Checkpoint, base: PruningPlan, shapes: Shapes, provider: str, grid: Grid
) -> tuple[Cost, float]:
    model = latency_model(ws, dense, base, provider=provider, grid=grid)
    # The dense network's time is predicted as well: what the model gets wrong for all widths alike cancels out.
    whole = model.predict(shapes.layers)
    return lambda kept: model.predict(shapes.at(kept)) / whole, whole


def _macs(
    ws: Workspace, dense: Checkpoint, base: PruningPlan, shapes: Shapes, provider: str, grid: Grid
) -> tuple[Cost, float]:
    whole = shapes.macs({})
    return lambda kept: shapes.macs(kept) / whole, whole


def _parameters(
    ws: Workspace, dense: Checkpoint, base: PruningPlan, shapes: Shapes, provider: str, grid: Grid
) -> tuple[Cost, float]:
    whole = shapes.parameters({})
    return lambda kept: shapes.parameters(kept) / whole, whole


_COSTS: dict[str, Callable[..., tuple[Cost, float]]] = {"latency": _latency, "macs": _macs, "params": _parameters}
"""Quantity -> (cost as a share of the dense network's, the dense network's cost)."""


def damage_tables(found: Sensitivity, base: PruningPlan, choices: Mapping[str, Any]) -> Tables:
    """Lost Dice of every group at every count: a block's loss, shared equally by its groups.

    Losses of several blocks are taken to add up, which they do only roughly.
    """
    members = {b: [n for n, g in base.groups.items() if g.block == b] for b in {r.block for r in found.rows}}
    tables = {}
    for name, group in base.groups.items():
        rows = [r for r in found.rows if r.block == group.block]
        ratios = [1 - r.kept[name] / group.width for r in rows]
        losses = [(found.dense_dice - r.dice) / len(members[group.block]) for r in rows]
        tables[name] = interpolate(ratios, losses, choices[name], group.width)
    return tables


def _exact_plan(ws: Workspace, dense: Checkpoint, base: PruningPlan, kept: Kept) -> PruningPlan:
    """What `prune --ratios` makes of the file that is written: the same call, checked."""
    ratios = Ratios(default=0.0, block_ratios=ratios_of(base, kept), align="none")
    plan = rank(ws, dense, ws.config.pruning.but(ratios=ratios))
    if {name: len(units) for name, units in plan.kept.items()} != dict(kept):
        raise PlanError("The chosen widths cannot be written as ratios.", cure="Please report this.")
    return plan


def _width(
    group: Group, kept: Kept, choices: tuple[int, ...], cost: Cost, tables: Tables, target: Target
) -> GroupWidth:
    units = kept[group.name]
    if units == group.width:
        reason = "no narrower width is allowed" if len(choices) == 1 else "stays whole: narrowing costs too much Dice"
    else:
        saved = cost({**kept, group.name: group.width}) - cost(kept)
        reason = f"saves {saved:.1%} of the dense {target.quantity} for {tables[group.name][units]:.3f} Dice"
        reason += ", narrowest allowed" if units == choices[0] else ""
    return GroupWidth(group.name, group.width * group.per_unit, units * group.per_unit, 1 - units / group.width, reason)


_RATIOS_HEAD = """\
# Written by `cardiocompress plan --target {target}`: the share of each convolution's filters that is REMOVED.
# `align: none` keeps these very widths; they are aligned already.
"""


def _write(ws: Workspace, result: BudgetPlan, ratios: Mapping[str, float], request: BudgetRequest) -> None:
    files = ws.run.planning.target(result.target.text)
    document = {"default": 0.0, "align": "none", "block_ratios": dict(ratios)}
    text = _RATIOS_HEAD.format(target=result.target.text) + yaml.safe_dump(document, sort_keys=False)
    save_plan(result.plan, files.plan)
    timing = result.timing
    measured = timing and {**vars(timing), "share": vars(timing.share), "warnings": list(timing.warnings)}
    write_json(
        files.widths,
        {
            "target": result.target.text,
            "provider": request.provider,
            "network": result.plan.source,
            "phantom": result.phantom,
            "dense_cost": result.dense_cost,
            "predicted_share": result.predicted,
            "measured": measured,
            "prediction_error": result.error,
            "groups": [vars(w) for w in result.widths],
        },
    )
    write_text(files.ratios, text)
    if result.ratios != files.ratios:
        write_text(result.ratios, text)
