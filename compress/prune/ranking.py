"""From a network to a pruning plan: find the groups, score them, keep the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from compress.errors import ConfigError, PlanError
from compress.models.modules import named_tensors, other_names
from compress.prune.allocate import NOBODY, Grid, Share, global_shares, ratio_of, shares
from compress.prune.criteria import Context, CriterionLike, comparable, describe, name_of, needs_gradients, score
from compress.prune.gradients import Batches, Loss, gradients
from compress.prune.graph import Example, inputs_of
from compress.prune.groups import ChannelGroups, Group, find_groups, ignoring, leaving
from compress.prune.plan import GroupPlan, PruningPlan
from compress.prune.trial import Trial
from compress.runtime.providers import find_provider


def rank(
    network: nn.Module,
    example: Example,
    *,
    ratio: float = 0.5,
    ratios: Mapping[str, float] | None = None,
    criterion: CriterionLike = "l1",
    scope: Literal["local", "global"] = "local",
    floor: float = 0.1,
    align: int | str = "cpu",
    data: Batches | None = None,
    loss: Loss = nn.functional.cross_entropy,
    seed: int = 0,
    ignore: Sequence[str] = (),
    source: str = "",
    follow: Mapping[str, str] = NOBODY,
    groups: ChannelGroups | None = None,
) -> PruningPlan:
    """Score every channel group of a network and keep the highest; the network is not changed.

    example: an input (N, C, ...) or a tuple of inputs, shapes alone matter. ratio: the fraction of
    channels REMOVED; `ratios` overrides it for groups, blocks or modules by name, the most specific
    name wins. scope: "local" applies the ratio to every group, "global" to one ranking over all, of
    which each group keeps at least `floor`. align: pruned widths become multiples of it: a number, an
    execution provider ("cpu", "cuda", "openvino"), which knows what it computes without waste, or "none".
    data, loss: only for the criterion "taylor". ignore: modules that stay whole. follow: block -> the
    block whose ratio it takes unless it is listed itself. groups: what `find_groups` said of this
    network, to save tracing it again.

    The plan is tried on random inputs of the example's shapes: groups without which the network does not run, or
    computes something else, are left whole with that reason, and the others are planned again.

    Raises `PlanError` when the network cannot be followed, nothing can be pruned or a group would be
    emptied, and `ConfigError` for unknown names. Raising a ratio only ever removes more (plans nest).
    """
    _check(ratio, ratios or {}, floor)
    found = find_groups(network, example, ignore=ignore) if groups is None else ignoring(network, groups, ignore)
    # The more specific names come last: they win.
    aliases = {name: other_names(network, name) for name in sorted(ratios or {}, key=len)}
    _known(found, aliases, follow)
    every = {other: (ratios or {})[name] for name, names in aliases.items() for other in names} | dict(ratios or {})
    grads = gradients(network, data, loss, each=True) if needs_gradients(criterion) and data is not None else None
    tensors = {name: tensor.detach() for name, tensor in named_tensors(network).items()}
    context = Context(tensors, grads, seed)
    scores = {g.name: score(criterion, g, context) for g in found.groups}
    grid = grid_of(align)
    wanted = {"default": ratio, "ratios": every, "follow": follow, "grid": grid}
    inputs = inputs_of(example)
    plan = PruningPlan(
        criterion=name_of(criterion),
        scope=scope,
        align=grid.block,
        seed=seed,
        source=source,
        default=ratio,
        block_ratios=dict(ratios or {}),
        groups={},
        inputs=tuple(tuple(x.shape) for x in inputs),
        types=_types(inputs),
    )
    trial = Trial(network, plan)
    while True:  # each time without what the last trial refused: a global ranking then takes more of the others
        counts = _counts(found.groups, scores, scope, floor, wanted)
        groups_ = {g.name: _group_plan(g, scores[g.name], counts[g.name], criterion) for g in found.groups}
        plan = replace(plan, groups=groups_, whole=_whole(found))
        refused = trial.refused(plan)
        if not refused:
            return plan
        found = leaving(found, refused)
        _anything(found)


def _counts(
    groups: Sequence[Group], scores: Mapping[str, np.ndarray], scope: str, floor: float, wanted: dict[str, Any]
) -> dict[str, Share]:
    if scope == "global":
        even = {g.name: comparable(scores[g.name]) for g in groups}
        return global_shares(groups, even, floor=floor, **wanted)
    if scope == "local":
        return shares(groups, **wanted)
    raise ConfigError(f"Unknown scope '{scope}'. Known: local, global.")


def _whole(found: ChannelGroups) -> dict[str, str]:
    """Layer -> every reason why some of its channels stay."""
    reasons: dict[str, list[str]] = {}
    for each in found.whole:
        reasons.setdefault(each.name, []).append(f"{each.reason} ({each.channels} channels)")
    return {name: "; ".join(dict.fromkeys(texts)) for name, texts in reasons.items()}


def grid_of(align: int | str | None) -> Grid:
    """Widths that are worth having: multiples of a number, what a provider says by its name, any for "none"."""
    if align is None or align == "none":
        return Grid()
    if isinstance(align, str) and not align.isdigit():
        provider = find_provider(align)
        return Grid(provider.alignment, min(provider.below_block or provider.alignment, provider.alignment))
    if int(align) < 1:
        raise ConfigError(f"align is {align}; a positive number, a provider's name or none is needed.")
    return Grid(int(align), int(align))


def top(scores: np.ndarray, count: int) -> tuple[int, ...]:
    """Ascending indices of the `count` highest scores; ties go to the lower index."""
    order = np.argsort(-scores, kind="stable")
    return tuple(sorted(int(i) for i in order[:count]))


def _group_plan(group: Group, scores: np.ndarray, share: Share, criterion: CriterionLike) -> GroupPlan:
    return GroupPlan(
        block=group.block,
        width=group.width,
        kept=top(scores, share.kept),
        scores=tuple(float(s) for s in scores),
        asked=share.asked,
        achieved=1 - share.kept / group.width,
        reason=share.reason,
        criterion=describe(criterion, group),
        members=group.members,
    )


def _types(inputs: Sequence[torch.Tensor]) -> tuple[str, ...]:
    names = tuple(str(x.dtype).removeprefix("torch.") for x in inputs)
    return () if set(names) <= {"float32"} else names


def _check(ratio: float, ratios: Mapping[str, float], floor: float) -> None:
    for name, value in {"ratio": ratio, "floor": floor, **ratios}.items():
        if not 0 <= value < 1:
            raise ConfigError(f"{name} is {value}; a fraction from 0 to below 1 is needed.")


def _known(found: ChannelGroups, aliases: Mapping[str, Sequence[str]], follow: Mapping[str, str]) -> None:
    """Every name that a ratio is given for must lead to at least one group, under one of the module's names."""
    _anything(found)
    for name, others in aliases.items():
        own = dict.fromkeys(others, 0.5)
        if not any(ratio_of(g, default=-1.0, ratios=own, follow=follow) >= 0 for g in found.groups):
            names = ", ".join(g.name for g in found.groups)
            raise PlanError(f"No channel group lies under '{name}'. Known: {names}.")


def _anything(found: ChannelGroups) -> None:
    if not found.groups:
        reasons = "; ".join(f"{w.name}: {w.reason}" for w in found.whole) or "it has no layers with channels"
        raise PlanError(f"Nothing in this network can be pruned ({reasons}).")
