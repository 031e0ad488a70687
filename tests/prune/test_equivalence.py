"""The heart of pruning: a smaller network computes what the large one computes with silenced channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_kit import (
    IN_CHANNELS,
    block_ratios,
    checkpoint,
    images_like,
    largest_difference,
    masked,
    plan_for,
    shake,
    silenced,
    train_one_step,
    unet_groups,
    unheard,
    widths,
)
from torch import nn

from compress.errors import PlanError
from compress.models.checkpoint import Checkpoint, load, save
from compress.models.unet import UNet, dense_widths, narrowed_widths
from compress.prune import find_groups, rank, rebuild
from compress.prune.groups import sliced
from compress.prune.rebuild import rebuild_checkpoint

BY_WEIGHTS = ["bn-scale", "fpgm", "l1", "l2", "random"]


def images_for(source: Checkpoint) -> torch.Tensor:
    side = 2 * source.network.divisor
    return images_like(torch.zeros(1, IN_CHANNELS, side, side))


def assert_same_outputs(first: nn.Module, second: nn.Module, images: torch.Tensor) -> None:
    assert largest_difference(first, second, images) <= 1e-5


@settings(max_examples=25)
@given(st.data(), st.sampled_from(BY_WEIGHTS), st.sampled_from(["local", "global"]), st.integers(0, 99))
def test_pruned_equals_masked(data: st.DataObject, criterion: str, scope: str, seed: int):
    sizes = data.draw(widths())
    source = checkpoint(sizes, seed=seed)
    smallest = min(g.width for g in unet_groups(sizes).groups)
    ratio = data.draw(st.floats(0, 0.999)) * (1 - 0.51 / smallest)
    ratios = data.draw(block_ratios(sizes))
    plan = plan_for(source, ratio=ratio, ratios=ratios, criterion=criterion, scope=scope)
    pruned = rebuild_checkpoint(source, plan)
    assert_same_outputs(pruned.network, silenced(source.network, plan), images_for(source))
    assert_same_outputs(pruned.network, unheard(source.network, plan), images_for(source))
    assert_same_outputs(pruned.network, rebuild(source.network, plan), images_for(source))


@settings(max_examples=15)
@given(st.data(), widths(), st.integers(0, 99))
def test_any_choice_of_channels_can_be_kept(data: st.DataObject, sizes: dict[str, list[int]], seed: int):
    """The rebuild does not rely on how the plan was found."""
    source = checkpoint(sizes, seed=seed)
    groups = unet_groups(sizes).groups
    kept = {g.name: sorted(data.draw(st.sets(st.integers(0, g.width - 1), min_size=1))) for g in groups}
    smaller = sliced(source.network.state_dict(), groups, kept)
    network = UNet(IN_CHANNELS, 4, narrowed_widths(sizes, {name: len(units) for name, units in kept.items()})).eval()
    network.load_state_dict(smaller)
    large = UNet(**source.meta.arguments).eval()
    large.load_state_dict(masked(source.network.state_dict(), groups, kept))
    assert_same_outputs(network, large, images_for(source))


def test_a_masked_channel_does_matter():
    """The oracle is no tautology: the dense network computes something else."""
    source = checkpoint(dense_widths([6, 8]))
    assert largest_difference(source.network, silenced(source.network, plan_for(source)), images_for(source)) > 0.01


def test_ratio_zero_changes_nothing():
    source = checkpoint(dense_widths([3, 5]))
    same = rebuild_checkpoint(source, plan_for(source, ratio=0.0))
    assert same.meta.arguments == source.meta.arguments
    assert all(torch.equal(t, source.network.state_dict()[n]) for n, t in same.network.state_dict().items())


def test_kept_weights_are_copied_unchanged():
    source = checkpoint({**dense_widths([4]), "encoders.0": [6, 4]})
    plan = plan_for(source, ratios={"encoders.0": 0.5})
    pruned = rebuild_checkpoint(source, plan).network
    outer, inner = (list(plan.kept[f"encoders.0.{c}"]) for c in ("conv2", "conv1"))
    dense = source.network.encoders[0]
    assert torch.equal(pruned.encoders[0].conv2.weight, dense.conv2.weight[outer][:, inner])
    assert torch.equal(pruned.encoders[0].norm2.running_var, dense.norm2.running_var[outer])
    assert torch.equal(pruned.encoders[0].norm1.bias, dense.norm1.bias[inner])


def test_the_concatenation_keeps_skip_first_then_upsampled():
    source = checkpoint(dense_widths([4]))
    plan = plan_for(source)
    skip, up = plan.kept["encoders.0.conv2"], plan.kept["decoders.0"]
    columns = [*skip, *(4 + i for i in up)]
    rows = list(plan.kept["decoders.1.conv1"])
    pruned, dense = rebuild_checkpoint(source, plan).network, source.network
    assert torch.equal(pruned.decoders[1].conv1.weight, dense.decoders[1].conv1.weight[rows][:, columns])
    assert torch.equal(pruned.decoders[0].bias, dense.decoders[0].bias[list(up)])


def test_the_rebuilt_checkpoint_tells_its_story_and_survives_disk(tmp_path):
    source = checkpoint(dense_widths([4, 8]))
    plan = plan_for(source)
    pruned = rebuild_checkpoint(source, plan)
    assert pruned.meta.arguments["widths"] == dense_widths([2, 4])
    assert (pruned.meta.stage, pruned.meta.parent) == ("pruned", source.meta.digest)
    assert pruned.meta.plan == {
        "digest": plan.digest,
        "criterion": "l1",
        "scope": "local",
        "align": 1,
        "default": 0.5,
        "ratios": {},
    }
    save(tmp_path / "pruned.safetensors", pruned.network, pruned.meta)
    assert_same_outputs(load(tmp_path / "pruned.safetensors").network, pruned.network, images_for(source))


@pytest.mark.parametrize("way", ["network", "checkpoint"])
def test_rebuilding_leaves_the_source_alone(way: str):
    source = checkpoint(dense_widths([4]))
    before = {name: tensor.clone() for name, tensor in source.network.state_dict().items()}
    plan = plan_for(source)
    pruned = rebuild(source.network, plan) if way == "network" else rebuild_checkpoint(source, plan).network
    with torch.no_grad():
        for tensor in pruned.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.network.state_dict().items())


def test_a_plan_for_another_shape_is_refused():
    plan = plan_for(checkpoint(dense_widths([4])))
    wider = checkpoint({**dense_widths([4]), "bottleneck": [16, 8]})
    for way, thing in ((rebuild, wider.network), (rebuild_checkpoint, wider)):
        with pytest.raises(PlanError, match=r"conv1\.weight has 16 entries along dimension 0, .* expects 8"):
            way(thing, plan)
    with pytest.raises(PlanError, match=r"it has no encoders\.0\.conv1\.weight \(\d+ such difference"):
        rebuild(nn.Conv2d(1, 4, 1), plan)


@pytest.mark.parametrize("kept", [[], [0, 0], [4], [-1]])
def test_impossible_indices_are_refused(kept: list[int]):
    source = checkpoint(dense_widths([4]))
    groups = unet_groups(dense_widths([4])).groups
    every = {group.name: list(range(group.width)) for group in groups}
    with pytest.raises(PlanError, match=r"kept indices of encoders\.0\.conv1 do not fit its 4 channels"):
        sliced(source.network.state_dict(), groups, {**every, "encoders.0.conv1": kept})
    with pytest.raises(PlanError, match=r"says nothing about bottleneck\.conv2"):
        sliced(source.network.state_dict(), groups, {k: v for k, v in every.items() if k != "bottleneck.conv2"})


class Stranger(nn.Module):
    """Another architecture: biases, a norm after a concatenation, a norm without affine, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.left = nn.Conv2d(6, 5, 1)
        self.right = nn.Conv2d(6, 4, 3, padding=1)
        self.joined = nn.BatchNorm2d(9)
        self.pool = nn.AvgPool2d(2)
        self.plain = nn.Conv2d(9, 7, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(7 + 1, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = torch.relu(self.stem(x))
        both = self.joined(torch.cat([self.left(stem), self.right(stem)], 1))
        deep = self.up(nn.functional.relu(self.plain(self.pool(both))))
        return self.head(torch.cat([deep, x], dim=1))


def test_a_stranger_prunes():
    """The same structure with forty random weights, ratios and orders."""
    example = torch.zeros(1, 1, 8, 8)
    found = find_groups(Stranger(), example)
    assert [g.name for g in found.groups] == ["stem", "left", "right", "plain"], "channels that leave stay whole"

    @settings(max_examples=40)
    @given(st.integers(0, 999), st.floats(0, 0.85))
    def holds(seed: int, ratio: float) -> None:
        torch.manual_seed(seed)
        dense = Stranger().eval()
        shake(dense, seed=seed)
        plan = rank(dense, example, criterion="random", ratio=ratio, seed=seed, align="none", groups=found)
        assert_same_outputs(rebuild(dense, plan), silenced(dense, plan), images_like(example))

    with torch.random.fork_rng(devices=[]):
        holds()


def test_a_norm_without_weights_can_be_pruned():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Conv2d(4, 2, 1))
    groups = find_groups(network, torch.zeros(1, 1, 8, 8)).groups
    smaller = sliced(network.state_dict(), groups, {"0": [1, 3]})
    assert {name: tuple(t.shape) for name, t in smaller.items() if t.ndim} == {
        "0.weight": (2, 1, 3, 3),
        "0.bias": (2,),
        "1.running_mean": (2,),
        "1.running_var": (2,),
        "3.weight": (2, 2, 1, 1),
        "3.bias": (2,),
    }


class Gauss(nn.Module):
    """An activation that is not zero at zero: silencing the filter is not the same as removing the channel."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.three(torch.sigmoid(self.two(torch.exp(-self.one(x).square()))) + 1)


def test_a_removed_channel_is_one_that_nobody_hears():
    dense, example = Gauss().eval(), torch.zeros(1, 1, 8, 8)
    plan = rank(dense, example, align="none")
    small, images = rebuild(dense, plan), images_like(example)
    assert_same_outputs(small, unheard(dense, plan), images)
    assert largest_difference(small, silenced(dense, plan), images) > 1e-3


class Stubborn(nn.Module):
    """Its code knows how many channels there were."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x).view(-1, 8, 4, 4))


def test_code_that_insists_on_its_channels_is_told_apart():
    dense, example = Stubborn().train(), torch.zeros(1, 1, 4, 4)
    with pytest.raises(PlanError, match=r"can be pruned \(.*one: the network does not run: shape .* is invalid"):
        rank(dense, example, align="none")


def test_modes_types_and_frozen_weights_survive():
    dense = Stranger().double().train()
    dense.stem.weight.requires_grad_(False)
    example = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    small = rebuild(dense, rank(dense, example, align="none"))
    assert small.training
    assert not small.stem.weight.requires_grad
    assert all(tensor.dtype == torch.float64 for tensor in small.parameters())
    train_one_step(small, images_like(example).double())


def test_a_plan_serves_an_earlier_state_of_the_same_network():
    sizes: Any = dense_widths([4])
    late, early = checkpoint(sizes, seed=1), checkpoint(sizes, seed=2)
    plan = plan_for(late)
    assert_same_outputs(rebuild(early.network, plan), silenced(early.network, plan), images_for(early))
