"""`prune`: from any network to a smaller one for a target, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from compress.errors import ConfigError, PlanError
from compress.prune.allocate import Grid, nearest, ratio_of
from compress.prune.budget import Cost, Kept, allocate, narrowed
from compress.prune.compensate import Repair, compensate, kept_outputs
from compress.prune.criteria import CriterionLike, comparable
from compress.prune.gradients import Loss
from compress.prune.graph import Example
from compress.prune.groups import Group
from compress.prune.plan import PruningPlan
from compress.prune.ranking import grid_of, rank
from compress.prune.rebuild import rebuild
from compress.prune.regain import Data, arguments_of, learn_from
from compress.prune.shapes import Shapes
from compress.prune.stopwatch import seconds, time_share
from compress.prune.target import Target, parse_target

SAMPLE = 64
"""Images that compensation looks at."""
_CLOSE = 1e-3
"""Of a ratio, where the search for one ends."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A smaller network and how it came about."""

    model: nn.Module
    history: tuple[PruningPlan, ...]
    """One plan per round, each for the network that the round before has left."""
    share: float
    """What the network costs in the target's quantity, of what the first one costs."""
    repairs: tuple[Repair, ...] = ()
    """What compensation did to each layer in the last round."""


def prune(
    model: nn.Module,
    example: Example,
    *,
    target: str,
    criterion: CriterionLike = "l1",
    scope: Literal["local", "global"] = "local",
    ratios: Mapping[str, float] | None = None,
    ignore: Sequence[str] = (),
    align: int | str = "cpu",
    floor: float = 0.1,
    rounds: int = 1,
    data: Data | None = None,
    loss: Loss = nn.functional.cross_entropy,
    teacher: nn.Module | None = None,
    epochs: int = 1,
    retrain: Callable[[nn.Module], object] | None = None,
    seed: int = 0,
) -> Pruned:
    """A copy of `model` without the channels that matter least, small enough for `target`; `model` is not changed.

    example: an input (N, C, ...) or a tuple of inputs, as the network will meet it.
    target: "macs=0.25x", "params=500k" or "latency=0.5x": a share of the network's, or an amount. Latency is torch's,
    for `example`, on the device where network and example lie.
    criterion: a name of `compress.choices.CRITERIA`, or a function (group, context) -> scores (width,).
    scope: "local" takes the same share from every group; "global" takes where little importance stands against what
    it costs (in MACs or parameters). ratios: for groups, blocks or modules by name: fixed, whatever the target.
    ignore: modules that stay whole. align, floor: as in `rank`. rounds: the cost falls to the target in equal factors.
    data: batches as a DataLoader gives them. With it each convolution is fitted to the outputs that it had (He 2017,
    arXiv:1707.06168); the criterion "taylor" needs it with targets, a teacher without. teacher: a network, usually
    `model` itself, whose outputs the smaller one then learns for `epochs` passes over the data. retrain: called with
    each round's network after all of that, to train it in your own way.

    Raises `ConfigError` for what means nothing, and `PlanError` where the target cannot be reached or the network
    cannot be followed.

    >>> network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 4, 3))
    >>> small = prune(network, torch.zeros(1, 1, 16, 16), target="macs=0.5x", align=8)
    >>> small.model[0].out_channels, small.share
    (16, 0.5)
    """
    if rounds < 1:
        raise ConfigError(f"rounds is {rounds}; at least 1 is needed.")
    if teacher is not None and data is None:
        raise ConfigError("A teacher needs something to be asked.", cure="Pass data: batches of inputs.")
    wanted = _Wanted.of(model, example, parse_target(target), scope)
    small, history, repairs = model, [], ()
    whole: dict[str, int] = {}
    images = None if data is None else _sample(data)
    for number in range(1, rounds + 1):
        base = rank(
            small,
            example,
            ratio=0.0,
            criterion=criterion,
            data=data,  # pyright: ignore  pairs where the criterion needs them
            loss=loss,
            seed=seed,
            ignore=ignore,
        )
        whole = whole or {group.name: group.width for group in base.channel_groups}
        part = number / rounds
        fixed = {name: 1 - (1 - ratio) ** part for name, ratio in (ratios or {}).items()}
        counts = _counts(base, whole, fixed, grid_of(align), floor)
        plan = narrowed(base, wanted.widths(small, base, counts, wanted.share**part))
        smaller = rebuild(small, plan)
        if images is not None:
            repairs = compensate(small, smaller, kept_outputs(plan), images, seed=seed)
        if teacher is not None and data is not None:
            learn_from(teacher, smaller, data, epochs=epochs)
        if retrain is not None:
            retrain(smaller)
        small = smaller.eval()
        history.append(plan)
    return Pruned(small, tuple(history), wanted.cost(small, None)({}), repairs)


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A target, measured on the first network."""

    first: nn.Module
    example: Example
    target: Target
    scope: str
    dense: float
    """What the first network costs, in seconds, multiply-adds or parameters."""

    @classmethod
    def of(cls, model: nn.Module, example: Example, target: Target, scope: str) -> _Wanted:
        if scope not in ("local", "global"):
            raise ConfigError(f"Unknown scope '{scope}'. Known: local, global.")
        if target.quantity == "latency":
            if scope == "global":
                raise ConfigError("Latency is measured, not weighed channel by channel.", cure="Use scope='local'.")
            return cls(model, example, target, scope, seconds(model, example))
        shapes = Shapes(model, example, ())
        return cls(
            model, example, target, scope, shapes.macs({}) if target.quantity == "macs" else shapes.parameters({})
        )

    @property
    def share(self) -> float:
        return self.target.share(self.dense)

    def cost(self, network: nn.Module, base: PruningPlan | None) -> Cost:
        """Widths of `network` -> their cost as a share of the first network's."""
        if self.target.quantity == "latency":
            return lambda kept: time_share(
                self.first, rebuild(network, narrowed(base, kept)) if base else network, self.example
            )
        shapes = Shapes(network, self.example, base.channel_groups if base else ())
        count = shapes.macs if self.target.quantity == "macs" else shapes.parameters
        return lambda kept: count(kept) / self.dense

    def widths(self, network: nn.Module, base: PruningPlan, counts: Mapping[str, Sequence[int]], goal: float) -> Kept:
        """Units that every group keeps, for a cost of at most `goal`."""
        cost = self.cost(network, base)
        if self.scope == "local":
            return _uniform(counts, cost, goal, self.target)
        tables = {name: _importance_lost(base, name, choices) for name, choices in counts.items()}
        return allocate(counts, cost, damage=tables, target=goal, show=f"{{:.3g}}x {self.target.quantity}".format)


def _counts(
    base: PruningPlan, whole: Mapping[str, int], fixed: Mapping[str, float], grid: Grid, floor: float
) -> dict[str, tuple[int, ...]]:
    """Numbers of units that each group may keep, ascending; one where a ratio of its first width `whole` is fixed."""
    groups = base.channel_groups
    for name in fixed:
        if all(ratio_of(group, default=-1.0, ratios={name: 0.5}) < 0 for group in groups):
            raise PlanError(f"No channel group lies under '{name}'. Known: {', '.join(g.name for g in groups)}.")
    return {
        group.name: _allowed(group, whole[group.name], ratio_of(group, default=-1.0, ratios=fixed), grid, floor)
        for group in groups
    }


def _allowed(group: Group, whole: int, ratio: float, grid: Grid, floor: float) -> tuple[int, ...]:
    counts = grid.counts(group)
    if ratio >= 0:
        return (nearest(counts, (1 - ratio) * whole),)
    return tuple(count for count in counts if count >= floor * whole) or counts[-1:]


def _uniform(counts: Mapping[str, Sequence[int]], cost: Cost, goal: float, target: Target) -> Kept:
    """The smallest share that all groups lose alike, for a cost of at most `goal`."""

    def at(ratio: float) -> dict[str, int]:
        return {name: nearest(choices, (1 - ratio) * choices[-1]) for name, choices in counts.items()}

    low, high = 0.0, 1.0
    if (least := cost(at(high))) > goal:
        raise PlanError(
            f"The target {target.text} cannot be reached: the narrowest widths allowed give {least:.3g}x.",
            cure="Choose a larger target, or lower floor, align or the fixed ratios.",
        )
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (low, middle) if cost(at(middle)) <= goal else (middle, high)
    return at(high)


def _importance_lost(base: PruningPlan, name: str, choices: Sequence[int]) -> dict[int, float]:
    """Count that stays -> summed importance of the units that leave; an average unit of any group has 1 per channel."""
    group = base.groups[name]
    lost = np.concatenate([[0.0], np.cumsum(np.sort(comparable(np.array(group.scores))))])
    return {count: float(lost[group.width - count]) * group.group(name).per_unit for count in choices}


def _sample(data: Data) -> tuple[torch.Tensor, ...]:
    """The first images of the data, a tensor for each input of the network."""
    found: list[tuple[torch.Tensor, ...]] = []
    for batch in data:
        found.append(arguments_of(batch))
        if sum(len(inputs[0]) for inputs in found) >= SAMPLE:
            break
    if not found:
        raise ConfigError("There is nothing to fit layers to.", cure="Give data at least one batch.")
    return tuple(torch.cat(each)[:SAMPLE] for each in zip(*found, strict=True))
