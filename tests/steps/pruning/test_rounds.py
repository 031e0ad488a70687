"""Rounds of pruning: geometric on the way, exact at the end, and told in the dense network's indices."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.config import Ratios, Scope
from compress.errors import ConfigError
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.unet import UNet, dense_widths, initialise
from compress.prune.plan import PruningPlan
from compress.prune.ranking import rank
from compress.prune.rebuild import rebuild_checkpoint
from compress.rundir import Stage
from compress.steps.pruning.prune import drop_rounds
from compress.steps.pruning.rounds import (
    composed,
    epochs_per_round,
    first_cut,
    ratios_after,
    ratios_between,
    with_kept,
)


@given(st.integers(0, 200), st.integers(1, 9))
def test_no_epoch_is_lost_or_added(total: int, rounds: int):
    if rounds > 1 and total < rounds:
        with pytest.raises(ConfigError, match=f"{rounds} rounds of pruning need at least {rounds} epochs.*got {total}"):
            epochs_per_round(total, rounds)
        return
    parts = epochs_per_round(total, rounds)
    assert sum(parts) == total and len(parts) == rounds
    assert len(set(parts[:-1])) <= 1 and parts[-1] >= parts[0]


def test_the_kept_share_falls_geometrically():
    asked = Ratios(default=0.5, block_ratios={"bottleneck": 0.875, "encoders.0": 0.0}, align=8)
    steps = [ratios_after(asked, number, 3) for number in (1, 2, 3)]
    kept = [1 - step.block_ratios["bottleneck"] for step in steps]
    assert kept == pytest.approx([0.5, 0.25, 0.125])
    assert steps[0].default == pytest.approx(1 - 0.5 ** (1 / 3))
    assert all(step.block_ratios["encoders.0"] == 0.0 and step.align == 8 for step in steps)
    assert steps[-1] == asked, "to the last bit"
    assert ratios_after(asked, 1, 1) == asked


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1))
def test_ratios_between_two_widths_are_exact(widths: dict[str, tuple[int, int]]):
    before = {name: range(max(pair)) for name, pair in widths.items()}
    after = {name: range(min(pair)) for name, pair in widths.items()}
    ratios = ratios_between(before, after)
    assert (ratios.default, ratios.align) == (0.0, "none")
    for name, (one, other) in widths.items():
        ratio = ratios.block_ratios.get(name, 0.0)
        removed = int(ratio * max(one, other) + 0.5)  # how textbook rounding counts
        assert max(one, other) - removed == min(one, other)
        assert 0 <= ratio < 1


def test_a_group_that_should_grow_stays():
    assert ratios_between({"a": [1, 2]}, {"a": [1, 2, 3]}).block_ratios == {}


def test_composition_speaks_the_first_language():
    before = {"a": (1, 4, 6, 9), "b": (3,)}
    assert composed(before, {"a": (0, 3)}) == {"a": (1, 9), "b": (3,)}


def ranked(source: Checkpoint, ratios: Ratios, scope: Scope, *, align: int = 1) -> PruningPlan:
    step = 1 if ratios.align == "none" else align
    return rank(
        source.network,
        torch.zeros(1, 1, 16, 16),
        ratio=ratios.default,
        ratios=ratios.block_ratios,
        scope=scope,
        align=step,
        source=source.meta.digest,
    )


def retrained(source: Checkpoint, plan: PruningPlan, *, seed: int) -> Checkpoint:
    """Training moved every weight: the next ranking has another opinion."""
    smaller = rebuild_checkpoint(source, plan)
    initialise(smaller.network, seed=seed)
    return smaller


@pytest.mark.parametrize(("scope", "align", "rounds"), [("local", 4, 3), ("global", 1, 2)])
def test_rounds_end_with_the_widths_of_pruning_at_once(scope: Scope, align: int, rounds: int):
    network = UNet(1, 4, dense_widths([8, 12]))
    initialise(network, seed=0)
    arguments = {"in_channels": 1, "out_channels": 4, "widths": network.widths}
    dense = Checkpoint(network.eval(), Meta("unet", arguments, {}, {}, digest="dense"))
    asked = Ratios(default=0.6, block_ratios={"bottleneck": 0.95} if scope == "local" else {}, align="auto")

    targets = [ranked(dense, ratios_after(asked, i, rounds), scope, align=align) for i in range(1, rounds + 1)]
    cuts = [first_cut(dense, targets[0])]
    for number, target in enumerate(targets[1:], start=1):
        before = cuts[-1]
        trained = retrained(before.source, before.step, seed=number)
        step = ranked(trained, ratios_between(before.plan.kept, target.kept), "local", align=align)
        cuts.append(before.then(trained, step, target))

    last, at_once = cuts[-1], targets[-1]
    assert {n: len(k) for n, k in last.plan.kept.items()} == {n: len(k) for n, k in at_once.kept.items()}
    assert last.plan.kept != at_once.kept, "which channels stay, the trained networks decide"
    for earlier, later in itertools.pairwise(cuts):
        assert all(set(kept) <= set(earlier.plan.kept[name]) for name, kept in later.plan.kept.items())
    small = rebuild_checkpoint(last.source, last.step)
    assert small.meta.arguments == rebuild_checkpoint(dense, last.plan).meta.arguments
    first = cuts[0].plan
    assert sum(map(len, first.kept.values())) > sum(map(len, last.plan.kept.values()))
    for name, group in last.plan.groups.items():
        assert group.achieved == pytest.approx(1 - len(group.kept) / group.width)
        assert group.scores == at_once.groups[name].scores
    assert with_kept(at_once, last.plan.kept).digest == last.plan.digest


def test_what_more_rounds_have_left_is_removed(tmp_path: Path):
    stage = Stage(tmp_path, "final.safetensors")
    for number in (1, 2, 3):
        stage.round(number).start.parent.mkdir(parents=True)
    drop_rounds(stage, first=2)
    assert [path.name for path in (tmp_path / "rounds").iterdir()] == ["1"]
    drop_rounds(stage, first=1)
    drop_rounds(stage, first=1)
    assert not stage.round(1).root.exists() and tmp_path.exists()
