"""How many units each group keeps: from ratios, an alignment and a floor to whole numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from compress.errors import PlanError
from compress.prune.groups import Group


@dataclass(frozen=True)
class Share:
    """What one group keeps, and why that is not exactly what was asked."""

    kept: int
    """Units that stay."""
    asked: float
    """The ratio that was asked for."""
    reason: str
    """Empty when the asked ratio is met as well as whole units allow."""


@dataclass(frozen=True)
class Grid:
    """Which numbers of channels a provider computes without waste."""

    block: int = 1
    """Multiples of it."""
    below: int = 1
    """And below one block, multiples of this; `block` itself where there are none."""

    def counts(self, group: Group) -> tuple[int, ...]:
        """Units that a group may keep, ascending, its full width last."""
        small, large = unit_step(group, self.below), unit_step(group, self.block)
        found = {*range(small, min(large, group.width), small), *range(large, group.width, large), group.width}
        return tuple(sorted(found))


NOBODY: Mapping[str, str] = MappingProxyType({})
"""No block follows another."""


def ratio_of(group: Group, *, default: float, ratios: Mapping[str, float], follow: Mapping[str, str] = NOBODY) -> float:
    """The ratio of a group: of the longest listed name that it lies under, else the default.

    follow: block -> the block whose ratio it takes while no name that it lies under is listed.
    """
    name = group.name
    while name:
        if name in ratios:
            return ratios[name]
        name = name.rpartition(".")[0]
    leader = follow.get(group.block)
    return default if leader is None else ratios.get(leader, default)


def shares(
    groups: Sequence[Group],
    *,
    default: float,
    ratios: Mapping[str, float],
    follow: Mapping[str, str] = NOBODY,
    grid: Grid = Grid(),
) -> dict[str, Share]:
    """Group name -> its share: each group by its own ratio (see `ratio_of`).

    Without a grid, width minus ratio x width, rounded half up; else the channels that stay are rounded to the nearest
    number that it allows. Raises `PlanError` naming every group that would be emptied with the largest ratio that it
    allows.
    """
    found, faults = {}, []
    for group in groups:
        ratio = ratio_of(group, default=default, ratios=ratios, follow=follow)
        exact = group.width - math.floor(ratio * group.width + 0.5)
        if exact < 1 and grid.block == 1:
            limit = math.floor(1000 * (group.width - 0.5) / group.width - 1e-9) / 1000
            faults.append(f"{group.name} ({group.width} filters, ratio {ratio:g}; at most {limit:g})")
        found[group.name] = _aligned(group, ratio, exact, grid)
    if faults:
        raise PlanError(f"These ratios would remove every filter of {', '.join(faults)}.", cure="Lower them.")
    return found


def _aligned(group: Group, ratio: float, exact: int, grid: Grid) -> Share:
    if grid.block == 1 or ratio == 0:
        return Share(exact, ratio, "")
    counts = grid.counts(group)
    if len(counts) == 1:
        return Share(group.width, ratio, f"no narrower multiple of {grid.below}")
    whole = group.width % unit_step(group, grid.block) == 0
    even = counts if whole else counts[:-1]
    wanted = (1 - ratio) * group.width
    kept = nearest(even, wanted)
    # A dense width that is no multiple itself may be nearer than the multiples around it.
    if abs(group.width - wanted) < abs(kept - wanted):
        kept = group.width
    return Share(kept, ratio, _why(group, kept, exact, wanted, grid))


def nearest(counts: Sequence[int], wanted: float) -> int:
    """The count that is nearest; the larger of two."""
    return min(counts, key=lambda count: (abs(count - wanted), -count))


def _why(group: Group, kept: int, exact: int, wanted: float, grid: Grid) -> str:
    """Why a group keeps something else than was asked; "" where it does not."""
    step = grid.block if kept >= unit_step(group, grid.block) else grid.below
    if kept == exact:
        return ""
    if kept == group.width and kept % unit_step(group, step):
        return f"no nearer multiple of {step}"
    return f"multiple of {step}" if wanted >= unit_step(group, step) / 2 else f"at least {step}"


def unit_step(group: Group, align: int) -> int:
    """Units that make whole multiples of `align` channels."""
    return align // math.gcd(align, group.per_unit)


def global_shares(
    groups: Sequence[Group],
    scores: Mapping[str, np.ndarray],
    *,
    default: float,
    ratios: Mapping[str, float],
    floor: float,
    follow: Mapping[str, str] = NOBODY,
    grid: Grid = Grid(),
) -> dict[str, Share]:
    """One ranking over all groups: the lowest share `default` of all channels leaves, wherever it lies.

    Scores must be comparable between groups. A group keeps at least `floor` of its units (a collapsed
    layer would cut the network); groups listed in `ratios`, or following one, keep to that ratio.
    """
    free = [g for g in groups if ratio_of(g, default=-1.0, ratios=ratios, follow=follow) < 0]
    rest = [g for g in groups if g not in free]
    listed = shares(rest, default=default, ratios=ratios, follow=follow, grid=grid)
    kept = _kept_globally(free, scores, default, floor)
    found = dict(listed)
    for group in free:
        share = 1 - kept[group.name] / group.width
        aligned = _aligned(group, share, kept[group.name], grid)
        found[group.name] = Share(aligned.kept, default, aligned.reason or "global ranking")
    return found


def _kept_globally(
    groups: Sequence[Group], scores: Mapping[str, np.ndarray], ratio: float, floor: float
) -> dict[str, int]:
    least = {g.name: max(1, math.ceil(floor * g.width)) for g in groups}
    budget = sum(g.width * g.per_unit for g in groups) * ratio
    candidates = []  # the protected best units of each group are no candidates
    for group in groups:
        order = np.sort(scores[group.name])[: group.width - least[group.name]]
        candidates += [(float(s), group.name, group.per_unit) for s in order]
    kept = {g.name: g.width for g in groups}
    for _, name, channels in sorted(candidates):
        if budget < channels / 2:
            break
        kept[name] -= 1
        budget -= channels
    return kept
