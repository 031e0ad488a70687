"""Allocation against exhaustive search, and what must hold for any costs and damages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.errors import PlanError
from compress.prune import find_groups, rank
from compress.prune.allocate import Grid
from compress.prune.budget import MOST_COUNTS, TIE, allocate, allowed_counts, interpolate, narrowed, ratios_of

FACTOR = 1.35
"""The greedy answer's damage over the best possible one's, at worst over the drawn instances."""


@dataclass(frozen=True)
class Instance:
    """A chain of layers whose cost is a staircase in both of its widths, as on real hardware."""

    choices: dict[str, list[int]]
    damage: dict[str, dict[int, float]]
    weights: np.ndarray

    def cost(self, kept: dict[str, int]) -> float:
        blocks = -(-np.array([4, *(kept[n] for n in self.choices), 4]) // 4)
        return float((self.weights * blocks[:-1] * blocks[1:]).sum())

    def harm(self, kept: dict[str, int]) -> float:
        """What `allocate` promises to make small, its tie-breaking term included."""
        shares = {n: 1 - kept[n] / c[-1] for n, c in self.choices.items()}
        return sum(self.damage[n][kept[n]] + TIE * shares[n] ** 2 for n in self.choices)

    def at(self, index: int) -> dict[str, int]:
        return {n: c[index] for n, c in self.choices.items()}

    def target(self, place: float) -> float:
        """Between the narrowest widths' cost (0) and the full widths' (1)."""
        low, high = self.cost(self.at(0)), self.cost(self.at(-1))
        return low + place * (high - low)

    def allocate(self, target: float) -> dict[str, int]:
        return allocate(self.choices, self.cost, damage=self.damage, target=target)


def draw(rng: np.random.Generator, groups: int) -> Instance:
    choices, damage = {}, {}
    for name in (f"g{i}" for i in range(groups)):
        counts = sorted(rng.choice(np.arange(1, 25), rng.integers(2, 6), replace=False).tolist())
        steps = rng.random(len(counts) - 1) * rng.random() * (rng.random(len(counts) - 1) < 0.8)
        choices[name] = counts
        damage[name] = dict(zip(reversed(counts), [0.0, *np.cumsum(steps)], strict=True))
    return Instance(choices, damage, rng.random(groups + 1) + 0.1)


@st.composite
def instances(draw_: st.DrawFn) -> Instance:
    return draw(np.random.default_rng(draw_(st.integers(0, 10**6))), draw_(st.integers(1, 6)))


def test_close_to_the_best_of_all_allocations():
    rng = np.random.default_rng(5)
    factors = []
    for _ in range(40):
        instance = draw(rng, int(rng.integers(2, 5)))
        target = instance.target(rng.uniform(0, 0.95))
        everything = (dict(zip(instance.choices, c, strict=True)) for c in product(*instance.choices.values()))
        best = min(instance.harm(kept) for kept in everything if instance.cost(kept) <= target)
        factors.append(instance.harm(instance.allocate(target)) / max(best, 1e-12) if best else 1.0)
    assert min(factors) >= 1 - 1e-9
    assert max(factors) <= FACTOR
    assert np.mean(np.array(factors) < 1.001) >= 0.9


@settings(max_examples=60)
@given(instances(), st.floats(0, 1))
def test_the_target_holds_with_allowed_widths(instance, place):
    target = instance.target(place)
    kept = instance.allocate(target)
    assert instance.cost(kept) <= target
    assert all(kept[n] in c for n, c in instance.choices.items()) and kept.keys() == instance.choices.keys()


@settings(max_examples=40)
@given(instances(), st.floats(0, 1))
def test_no_group_could_be_wider(instance, place):
    target = instance.target(place)
    kept = instance.allocate(target)
    for name, counts in instance.choices.items():
        for wider in counts[counts.index(kept[name]) + 1 :][:1]:
            assert instance.cost({**kept, name: wider}) > target


@given(instances())
def test_a_target_that_everything_meets_removes_nothing(instance):
    assert instance.allocate(instance.target(1) * (1 + 1e-12)) == instance.at(-1)  # sums in another order round apart


@given(instances(), st.floats(0.01, 0.9))
def test_a_target_out_of_reach_names_the_smallest_cost(instance, share):
    smallest = instance.cost(instance.at(0))
    with pytest.raises(PlanError, match=f"{smallest:.4g}") as fault:
        instance.allocate(share * smallest)
    assert "larger target" in fault.value.cure


def test_a_step_that_saves_nothing_does_not_stop_the_descent():
    choices = {"a": [1, 2, 3, 4, 5, 6, 7, 8]}
    kept = allocate(
        choices, lambda k: 1.0 if k["a"] > 1 else 0.5, damage={"a": dict.fromkeys(range(1, 9), 0.0)}, target=0.5
    )
    assert kept == {"a": 1}


def test_where_nothing_hurts_all_groups_shrink_alike():
    counts = list(range(8, 65, 8))
    choices = {"a": counts, "b": counts, "c": counts}
    harmless = {name: dict.fromkeys(counts, 0.0) for name in choices}
    kept = allocate(choices, lambda k: sum(k.values()), damage=harmless, target=96)
    assert set(kept.values()) == {32}


def test_damage_that_falls_again_is_no_invitation():
    """Dice at ratio 0.9 may by chance exceed Dice at 0.5: the damage already done still counts."""
    choices = {"noisy": [2, 8, 16], "steady": [2, 8, 16]}
    damage = {"noisy": {16: 0.0, 8: 0.5, 2: 0.0}, "steady": {16: 0.0, 8: 0.1, 2: 0.2}}
    kept = allocate(choices, lambda k: k["noisy"] + k["steady"], damage=damage, target=18)
    assert kept == {"noisy": 16, "steady": 2}


def test_a_harmful_group_is_spared():
    counts = [8, 16, 32, 64]
    choices = {"dear": counts, "cheap": counts}
    damage = {"dear": {64: 0, 32: 0.2, 16: 0.5, 8: 0.8}, "cheap": {64: 0, 32: 0.01, 16: 0.02, 8: 0.03}}
    assert allocate(choices, lambda k: k["dear"] * k["cheap"], damage=damage, target=1024) == {"dear": 64, "cheap": 16}


class Chain(nn.Module):
    """conv -> conv -> conv, with groups in the second so that two channels leave at a time."""

    def __init__(self, width: int = 64, groups: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


EXAMPLE = torch.zeros(1, 1, 8, 8)


@pytest.mark.parametrize(
    ("width", "grid", "floor", "expected"),
    [
        (64, Grid(16, 4), 0.1, (8, 12, 16, 32, 48, 64)),
        (64, Grid(16, 4), 0.01, (4, 8, 12, 16, 32, 48, 64)),
        (64, Grid(16, 16), 0.01, (16, 32, 48, 64)),
        (64, Grid(8, 4), 0.1, (8, 16, 24, 32, 40, 48, 56, 64)),
        (256, Grid(16, 4), 0.5, (128, 144, 160, 176, 192, 208, 224, 240, 256)),
        (20, Grid(16, 4), 0.0, (4, 8, 12, 16, 20)),
        (8, Grid(16, 16), 0.0, (8,)),
        (5, Grid(), 0.3, (2, 3, 4, 5)),
    ],
)
def test_allowed_counts(width, grid, floor, expected):
    group = find_groups(Chain(width), EXAMPLE).groups[0]
    assert allowed_counts(group, grid=grid, floor=floor) == expected


def test_allowed_counts_are_units_of_a_grouped_convolution():
    group = find_groups(Chain(64, groups=16), EXAMPLE).groups[0]
    assert (group.width, group.per_unit) == (16, 4)
    assert allowed_counts(group, grid=Grid(16, 8)) == (2, 4, 8, 12, 16)


def test_without_alignment_only_so_many_counts_are_tried():
    counts = allowed_counts(find_groups(Chain(200), EXAMPLE).groups[0], grid=Grid())
    assert len(counts) == MOST_COUNTS and counts[0] == 20 and counts[-1] == 200 and len(set(counts)) == len(counts)


def test_interpolate_between_what_was_measured():
    found = interpolate([0.75, 0.25], [0.3, -0.1], [100, 75, 50, 25, 10], 100)
    assert found == pytest.approx({100: 0.0, 75: 0.0, 50: 0.15, 25: 0.3, 10: 0.3})


@pytest.mark.parametrize("kept", [(1, 63), (7, 32), (64, 33)])
def test_narrowed_is_what_rank_makes_of_the_ratios(kept):
    network = Chain(64)
    whole = rank(network, EXAMPLE, ratio=0.0, align="none")
    wanted = dict(zip(whole.groups, kept, strict=True))
    again = rank(network, EXAMPLE, ratio=0.0, ratios=ratios_of(whole, wanted), align="none")
    assert narrowed(whole, wanted).kept == again.kept
    assert {n: len(k) for n, k in again.kept.items()} == wanted
