"""The smaller network: a pure function from a checkpoint and a plan to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from compress.errors import PlanError
from compress.models.build import build
from compress.models.checkpoint import Checkpoint
from compress.prune.groups import Group, find_groups, sliced
from compress.prune.plan import PruningPlan


def rebuild(source: Checkpoint, plan: PruningPlan) -> Checkpoint:
    """The network that `plan` leaves of `source`, with the kept weights copied unchanged.

    `source` may be the dense network or an earlier state of it (rewinding). Raises `PlanError`
    when the plan was made for a network of another shape.
    """
    groups = find_groups(source.network, in_channels=source.meta.arguments["in_channels"])
    _check(groups, plan)
    arguments = {**source.meta.arguments, "widths": pruned_widths(source.meta.arguments["widths"], groups, plan.kept)}
    network = build(source.meta.architecture, arguments)
    network.load_state_dict(sliced(source.network.state_dict(), groups, plan.kept))
    meta = replace(source.meta, arguments=arguments, stage="pruned", parent=source.meta.digest, plan=_summary(plan))
    return Checkpoint(network.eval(), meta)


def pruned_widths(
    widths: Mapping[str, Sequence[int]], groups: Sequence[Group], kept: Mapping[str, Sequence[int]]
) -> dict[str, list[int]]:
    """The constructor's widths after pruning: groups come in execution order within each block."""
    by_block: dict[str, list[int]] = {}
    for group in groups:
        by_block.setdefault(group.block, []).append(len(kept[group.name]))
    return {block: by_block[block] for block in widths}


def _check(groups: Sequence[Group], plan: PruningPlan) -> None:
    have = {g.name: g.width for g in groups}
    want = {name: g.width for name, g in plan.groups.items()}
    wrong = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if wrong:
        name = wrong[0]
        raise PlanError(
            f"The plan does not fit this network: {name} has {have.get(name, 0)} channels, "
            f"the plan expects {want.get(name, 0)} ({len(wrong)} such difference(s))."
        )


def _summary(plan: PruningPlan) -> dict[str, Any]:
    return {"digest": plan.digest, "criterion": plan.criterion, "default": plan.default, "ratios": plan.block_ratios}
