"""The smaller network: a pure function from a network and a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from compress.errors import PlanError
from compress.models.build import architecture_of, arguments_of, build
from compress.models.checkpoint import Checkpoint
from compress.models.modules import copied, named_tensors
from compress.prune.groups import Member, sliced
from compress.prune.plan import PruningPlan
from compress.prune.resize import resize
from compress.prune.same_function import check_same_function

_SHAPED_BY = "_shaped_by_plans"


def rebuild(network: nn.Module, plan: PruningPlan) -> nn.Module:
    """A copy of `network` that lacks what `plan` removes; the kept weights are copied unchanged.

    Works for any module that `rank` could follow. Raises `PlanError` when the plan was made for a
    network of another shape, when the network's own code insists on the old channel counts, and when
    the copy would compute another function (see `compress.prune.same_function`). The copy knows the plans
    that shaped it, so that a network that is pruned several times is saved and loaded like any other.
    """
    check_fits(network, plan)
    smaller = copied(network)
    resize(smaller, plan.channel_groups, plan.kept)
    check_same_function(network, smaller, plan)
    remember(smaller, [*history(network), plan])
    return smaller


class _History(tuple[PruningPlan, ...]):
    """The plans that shaped a network; a copy of the network shares them."""

    def __deepcopy__(self, memo: object) -> _History:
        return self


def remember(network: nn.Module, plans: Sequence[PruningPlan]) -> None:
    """Let a network know the plans that shaped it, the first one first."""
    network.__dict__[_SHAPED_BY] = _History(plans)


def history(network: nn.Module) -> tuple[PruningPlan, ...]:
    """The plans that shaped a network, the first one first; empty for a dense one."""
    return tuple(network.__dict__.get(_SHAPED_BY, ()))


def rebuild_checkpoint(source: Checkpoint, plan: PruningPlan) -> Checkpoint:
    """The checkpoint that `plan` leaves of `source`, which may be an earlier state of the ranked network."""
    check_fits(source.network, plan)
    groups, (architecture, before) = plan.channel_groups, (source.meta.architecture, source.meta.arguments)
    narrow = architecture_of(architecture).narrow
    if narrow is None:
        cut = copied(source.network)
        resize(cut, groups, plan.kept)
        arguments = arguments_of(architecture, before, cut)
    else:
        arguments = narrow(before, {g.name: len(plan.kept[g.name]) * g.per_unit for g in groups})
    network = build(architecture, arguments)
    network.load_state_dict(sliced(source.network.state_dict(), groups, plan.kept))
    meta = replace(source.meta, arguments=arguments, stage="pruned", parent=source.meta.digest)
    return Checkpoint(network.eval(), replace(meta, plan={**_depth(source), **_summary(plan)}))


def check_fits(network: nn.Module, plan: PruningPlan) -> None:
    """Raise `PlanError` unless every tensor that the plan names is there, with the size it expects."""
    tensors = named_tensors(network)
    wrong = [_mismatch(m, tensors) for g in plan.groups.values() for m in g.members if m.role != "attribute"]
    wrong = [text for text in wrong if text]
    if wrong:
        raise PlanError(f"The plan does not fit this network: {wrong[0]} ({len(wrong)} such difference(s)).")


def _mismatch(member: Member, tensors: Mapping[str, torch.Tensor]) -> str:
    if member.tensor not in tensors:
        return f"it has no {member.tensor}"
    shape = tensors[member.tensor].shape
    have = shape[member.dim] if member.dim < len(shape) else 0
    expected = f"the plan expects {member.size}"
    return "" if have == member.size else f"{member.tensor} has {have} entries along dimension {member.dim}, {expected}"


def _depth(source: Checkpoint) -> dict[str, Any]:
    """Which parts `source` has lost as a whole."""
    return {name: value for name, value in (source.meta.plan or {}).items() if name in ("single", "space_to_depth")}


def _summary(plan: PruningPlan) -> dict[str, Any]:
    return {
        "digest": plan.digest,
        "criterion": plan.criterion,
        "scope": plan.scope,
        "align": plan.align,
        "default": plan.default,
        "ratios": plan.block_ratios,
    }
