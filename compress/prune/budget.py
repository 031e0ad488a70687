"""Which widths to choose for a budget: cost as measured or counted, damage as measured block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from compress.errors import PlanError
from compress.prune.allocate import Grid
from compress.prune.groups import Group
from compress.prune.plan import PruningPlan
from compress.prune.ranking import top

Kept = Mapping[str, int]
"""Group name -> units that stay."""
Cost = Callable[[Kept], float]
Tables = Mapping[str, Mapping[int, float]]
"""Group name -> units that stay -> damage, in any unit, such as lost Dice."""

TIE = 1e-3
"""Penalty on the squared removed share. Among equal damages it prefers many small cuts to one large cut."""
MOST_COUNTS = 64
"""Counts per group that are tried; without alignment there would be one per channel."""
_REACH = 4
"""How many counts down or up one step may go: costs are staircases, and a step may save nothing."""
_ROUNDS = 40


def allowed_counts(group: Group, *, grid: Grid, floor: float = 0.1) -> tuple[int, ...]:
    """Units that a group may keep, ascending: what the grid allows, at least `floor` of its units, the full width."""
    least = max(1, math.ceil(floor * group.width - 1e-9))
    possible = [count for count in grid.counts(group) if count >= least]
    if len(possible) > MOST_COUNTS:
        picks = np.linspace(0, len(possible) - 1, MOST_COUNTS).round().astype(int)
        possible = [possible[i] for i in picks]
    return tuple(possible)


def interpolate(
    ratios: Sequence[float], losses: Sequence[float], counts: Sequence[int], width: int
) -> dict[int, float]:
    """Damage at each of `counts` from losses measured at some ratios; 0 at ratio 0, level beyond the last.

    Losses below zero (noise) count as zero.
    """
    order = np.argsort(ratios)
    known = np.concatenate([[0.0], np.asarray(ratios, float)[order]])
    values = np.concatenate([[0.0], np.maximum(np.asarray(losses, float)[order], 0.0)])
    return {c: float(np.interp(1 - c / width, known, values)) for c in counts}


def narrowed(plan: PruningPlan, kept: Kept) -> PruningPlan:
    """The same ranking with group g reduced to its `kept[g]` best units; groups not named stay as they are."""
    groups = dict(plan.groups)
    for name, count in kept.items():
        group, ratio = groups[name], 1 - count / groups[name].width
        best = top(np.array(group.scores), count)
        groups[name] = replace(group, kept=best, asked=ratio, achieved=ratio, reason="")
    return replace(plan, groups=groups, align=1, block_ratios={**plan.block_ratios, **ratios_of(plan, kept)})


def ratios_of(plan: PruningPlan, kept: Kept) -> dict[str, float]:
    """The removed share of each group, exact enough that rounding to whole units gives `kept` back."""
    return {name: round(1 - count / plan.groups[name].width, 9) for name, count in kept.items()}


def allocate(
    choices: Mapping[str, Sequence[int]],
    cost: Cost,
    *,
    damage: Tables,
    target: float,
    show: Callable[[float], str] = "{:.4g}".format,
) -> dict[str, int]:
    """Units that every group keeps so that `cost` is at most `target` with little summed damage.

    choices: allowed counts per group, ascending, the last being the full width; 0 where the group can go as a whole,
    which is another network and no narrower one. damage: a value for each of them, made monotone by a running maximum
    over the counts above 0. From the full widths, the step with the largest
    cost saved per damage added is taken until the target holds (HALP, arXiv:2110.10811, weighs latency
    against importance in the same way but solves a knapsack; NetAdapt, arXiv:1804.03230, descends
    greedily too). Then groups are widened again, alone or in exchange for another, while it still holds.
    Not exact: now and then a looser target even ends with more damage.

    Raises `PlanError` naming the smallest cost that was reached, as `show` words it, when that is above
    the target.
    """
    search = _Search(choices, cost, damage, target)
    smallest = search.descend()
    if search.cost > target:
        raise PlanError(
            f"The target {show(target)} cannot be reached: the narrowest widths allowed give {show(smallest)}.",
            cure="Choose a larger target, or a smaller --align: docs/how_to/budget.md.",
        )
    search.repair()
    return search.kept()


class _Search:
    """The state of one allocation: `at[g]` is the position of each group's count among its choices."""

    def __init__(self, choices: Mapping[str, Sequence[int]], cost: Cost, damage: Tables, target: float) -> None:
        self.names = list(choices)
        self.choices = [list(choices[name]) for name in self.names]
        self.damage = [_monotone(c, damage[n]) for n, c in zip(self.names, self.choices, strict=True)]
        self.cost_of, self.target = cost, target
        self.at = [len(c) - 1 for c in self.choices]
        self.cost = cost(self.kept())

    def kept(self) -> dict[str, int]:
        return {n: c[i] for n, c, i in zip(self.names, self.choices, self.at, strict=True)}

    def price(self, moves: Mapping[int, int]) -> float:
        """The cost after some groups moved to other positions."""
        kept = self.kept()
        for group, position in moves.items():
            kept[self.names[group]] = self.choices[group][position]
        return self.cost_of(kept)

    def harm(self, group: int, position: int) -> float:
        """Damage added (or, below zero, taken back) by moving a group to a position."""
        return self.damage[group][position] - self.damage[group][self.at[group]]

    def move(self, moves: Mapping[int, int], cost: float) -> None:
        for group, position in moves.items():
            self.at[group] = position
        self.cost = cost

    def descend(self) -> float:
        """Narrow groups until the target holds or nothing is left; the smallest cost on the way."""
        smallest = self.cost
        while self.cost > self.target:
            priced = [(g, p, self.price({g: p})) for g, p in self._narrower()]
            # There is no way back from 0, so it must save something.
            priced = [step for step in priced if self.choices[step[0]][step[1]] or step[2] < self.cost]
            if not priced:
                break
            group, position, cost = max(priced, key=self._worth)
            self.move({group: position}, cost)
            smallest = min(smallest, cost)
        return smallest

    def _worth(self, step: tuple[int, int, float]) -> tuple[float, float]:
        """Cost saved per damage added; what is saved beyond the target is worth nothing."""
        group, position, cost = step
        harm = max(self.harm(group, position), 1e-12)
        saved = min(self.cost - cost, self.cost - self.target)
        # Where no step saves anything, the least harmful one leads on to those that do.
        return (saved / harm, -harm) if saved > 0 else (0.0, -harm)

    def repair(self) -> None:
        """Widen groups while the target holds; then exchange one group's width for another's."""
        for _ in range(_ROUNDS):
            self._widen()
            if not self._exchange():
                return

    def _widen(self) -> None:
        while True:
            steps = [(g, p, self.price({g: p})) for g, p in self._wider() if self.harm(g, p) < 0]
            fitting = [step for step in steps if step[2] <= self.target]
            if not fitting:
                return
            group, position, cost = max(fitting, key=lambda s: -self.harm(s[0], s[1]) / max(s[2] - self.cost, 1e-12))
            self.move({group: position}, cost)

    def _exchange(self) -> bool:
        """The best pair of a narrower and a wider group that lowers the damage; False when there is none."""
        best: tuple[float, dict[int, int], float] | None = None
        for down, up in self._pairs():
            harm = self.harm(*down) + self.harm(*up)
            if harm < (best[0] if best else -1e-9):
                moves = dict((down, up))
                if (cost := self.price(moves)) <= self.target:
                    best = (harm, moves, cost)
        if best is None:
            return False
        self.move(best[1], best[2])
        return True

    def _pairs(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        return [(down, up) for down in self._narrower() for up in self._wider() if down[0] != up[0]]

    def _narrower(self) -> list[tuple[int, int]]:
        """Positions that each group may go down to: some steps, or as a whole."""
        return [
            (g, p) for g, at in enumerate(self.at) for p in range(at) if p >= at - _REACH or self.choices[g][p] == 0
        ]

    def _wider(self) -> list[tuple[int, int]]:
        """Positions that each group may go up to: some steps, and any for one that had gone."""
        return [
            (g, p)
            for g, at in enumerate(self.at)
            for p in range(at + 1, len(self.choices[g]))
            if p <= at + _REACH or self.choices[g][at] == 0
        ]


def _monotone(counts: Sequence[int], table: Mapping[int, float]) -> list[float]:
    """Damage per position: never less for fewer units, and a little more for each unit that leaves.

    Without any unit it is what it is: another network, which may do more than one of few units.
    """
    raw = np.array([table[c] for c in counts], float)
    some = np.asarray(counts) > 0
    worst = raw.copy()
    worst[some] = np.maximum.accumulate(raw[some][::-1])[::-1]
    shares = 1 - np.asarray(counts, float) / max(counts[-1], 1)
    return list(worst + TIE * shares**2)
