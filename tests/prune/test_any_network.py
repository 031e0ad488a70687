"""Hundreds of random architectures: whatever is drawn, pruning it equals silencing the channels in it."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pruning_kit import images_like, largest_difference, onnx_difference, outputs_of, shake, silenced, train_one_step
from recipes import IMAGE, MAKERS, Drawn, Recipe, recipes
from torch import nn

from compress.prune import PruningPlan, find_groups, load, rank, rebuild, save
from compress.prune.groups import ChannelGroups

NETWORKS = 260
BY_WEIGHTS = ["bn-scale", "fpgm", "l1", "l2", "random"]


@functools.lru_cache(maxsize=4)
def structure(recipe: Recipe) -> ChannelGroups:
    return find_groups(Drawn(recipe), IMAGE)


def build(recipe: Recipe, seed: int) -> nn.Module:
    """No weight, bias, scale, shift, slope or statistic is at its default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Drawn(recipe)
    shake(network, seed=seed)
    return network.eval()


@dataclass(frozen=True)
class Choice:
    """How a drawn network is pruned."""

    criterion: str
    scope: Any
    align: int
    share: float
    """Of the largest ratio that empties no group."""
    seed: int

    def plan(self, network: nn.Module, found: ChannelGroups) -> PruningPlan:
        most = 1 - 0.51 / min(g.width for g in found.groups)
        more = {"criterion": self.criterion, "scope": self.scope, "align": self.align, "seed": self.seed}
        return rank(network, IMAGE, ratio=self.share * most, groups=found, **more)


choices = st.builds(
    Choice,
    st.sampled_from(BY_WEIGHTS),
    st.sampled_from(["local", "local", "global"]),
    st.sampled_from([1, 1, 1, 1, 2, 4]),
    st.floats(0.4, 1),
    st.integers(0, 99),
)


@dataclass
class Seen:
    """What the drawn networks were, so that a property that holds for nothing is noticed."""

    recipes: set[Recipe] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    barren: int = 0
    pruned: int = 0
    changed: int = 0
    heads: int = 0


def test_pruned_equals_masked():
    seen = Seen()

    @settings(max_examples=NETWORKS)
    @given(recipes(), choices)
    def holds(recipe: Recipe, choice: Choice) -> None:
        found = structure(recipe)
        seen.barren += not found.groups
        assume(found.groups)
        check(recipe, choice, found, seen)
        seen.recipes.add(recipe)

    holds()
    assert len(seen.recipes) >= 200
    assert min(seen.kinds[kind] for kind in MAKERS) >= 1, seen.kinds
    assert seen.barren <= 0.1 * NETWORKS, seen
    assert seen.pruned >= 0.95 * NETWORKS, seen
    assert seen.changed >= 0.85 * NETWORKS, f"pruning has to change what is computed: {seen}"
    assert seen.heads >= 50, "heads of training mode are compared too"


def check(recipe: Recipe, choice: Choice, found: ChannelGroups, seen: Seen) -> None:
    dense = build(recipe, choice.seed)
    plan = choice.plan(dense, found)
    # In double precision: a norm divides by tiny deviations, and the tolerance is for wrong channels.
    small, quiet = rebuild(dense, plan).double(), silenced(dense, plan).double()
    images = images_like(IMAGE).double()
    assert largest_difference(small, quiet, images) <= 1e-5
    change = largest_difference(small, dense.double(), images)
    assert largest_difference(small.train(), quiet.train(), images) <= 1e-5
    seen.kinds.update(step.kind for step in recipe.steps)
    seen.pruned += any(len(g.kept) < g.width for g in plan.groups.values())
    seen.changed += change > 1e-3
    seen.heads += bool(recipe.auxiliary)


@settings(max_examples=25)
@given(recipes(), choices, st.floats(0, 1))
def test_plans_nest(recipe: Recipe, choice: Choice, other: float):
    """Raising the ratio only ever removes more, whatever the criterion, the scope and the alignment."""
    found = structure(recipe)
    assume(found.groups)
    network = build(recipe, choice.seed)
    low, high = (replace(choice, share=share).plan(network, found) for share in sorted((choice.share, other)))
    assert all(set(high.kept[name]) <= set(low.kept[name]) for name in low.kept)


@settings(max_examples=25)
@given(recipes(), choices)
def test_pruned_networks_survive_disk_and_train(tmp_path_factory, recipe: Recipe, choice: Choice):
    found = structure(recipe)
    assume(found.groups)
    dense = build(recipe, choice.seed)
    plan = choice.plan(dense, found)
    small = rebuild(dense, plan)
    path = save(small, plan, tmp_path_factory.mktemp("pruned") / "small.safetensors")
    again = load(lambda: build(recipe, choice.seed + 1), path)
    images = images_like(IMAGE)
    assert [torch.equal(a, b) for a, b in zip(outputs_of(small, images), outputs_of(again, images), strict=True)] == [
        True
    ]
    train_one_step(small, images)


@pytest.mark.filterwarnings("ignore")  # torch.onnx's own
@settings(max_examples=12)
@given(recipes(least=4), choices)
def test_onnx_runtime_agrees(tmp_path_factory, recipe: Recipe, choice: Choice):
    found = structure(recipe)
    assume(found.groups)
    dense = build(recipe, choice.seed)
    small = rebuild(dense, choice.plan(dense, found))
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    assert onnx_difference(small, images_like(IMAGE), path) <= 1e-4
