"""The heart of pruning: a smaller network computes what the large one computes with silenced channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_kit import IN_CHANNELS, block_ratios, checkpoint, plan_for, shake, widths
from torch import nn

from compress.errors import PlanError
from compress.models.checkpoint import Checkpoint, load, save
from compress.models.unet import UNet, dense_widths
from compress.prune.criteria import CRITERIA
from compress.prune.groups import find_groups, masked, sliced
from compress.prune.plan import PruningPlan, rank, top
from compress.prune.rebuild import rebuild


def silenced(source: Checkpoint, plan: PruningPlan) -> UNet:
    network = UNet(**source.meta.arguments)
    groups = find_groups(source.network, in_channels=IN_CHANNELS)
    network.load_state_dict(masked(source.network.state_dict(), groups, plan.kept))
    return network.eval()


def assert_same_outputs(first: nn.Module, second: nn.Module, size: int) -> None:
    images = torch.randn(2, IN_CHANNELS, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mine, other = first(images), second(images)
    assert (mine - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max()))


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(sorted(CRITERIA)), st.integers(0, 99))
def test_pruned_equals_masked(data: st.DataObject, criterion: str, seed: int):
    sizes = data.draw(widths())
    source = checkpoint(sizes, seed=seed)
    smallest = min(min(each) for each in sizes.values())
    default = data.draw(st.floats(0, 0.999)) * (1 - 0.51 / smallest)
    plan = plan_for(source, default=default, ratios=data.draw(block_ratios(sizes)), criterion=criterion)
    pruned = rebuild(source, plan)
    assert_same_outputs(pruned.network, silenced(source, plan), 2 * source.network.divisor)


@settings(max_examples=30, deadline=None)
@given(st.data(), widths(), st.integers(0, 99))
def test_any_choice_of_channels_can_be_kept(data: st.DataObject, sizes: dict[str, list[int]], seed: int):
    """The rebuild does not rely on how the plan was found."""
    source = checkpoint(sizes, seed=seed)
    groups = find_groups(source.network, in_channels=IN_CHANNELS)
    kept = {g.name: sorted(data.draw(st.sets(st.integers(0, g.width - 1), min_size=1))) for g in groups}
    smaller = sliced(source.network.state_dict(), groups, kept)
    network = UNet(IN_CHANNELS, 4, {b: [len(kept[g.name]) for g in groups if g.block == b] for b in sizes}).eval()
    network.load_state_dict(smaller)
    large = UNet(**source.meta.arguments).eval()
    large.load_state_dict(masked(source.network.state_dict(), groups, kept))
    assert_same_outputs(network, large, source.network.divisor)


def test_a_masked_channel_does_matter():
    """The oracle is no tautology: the dense network computes something else."""
    source = checkpoint(dense_widths([6, 8]))
    images = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        difference = source.network(images) - silenced(source, plan_for(source))(images)
    assert difference.abs().max() > 0.1


def test_ratio_zero_changes_nothing():
    source = checkpoint(dense_widths([3, 5]))
    same = rebuild(source, plan_for(source, default=0.0))
    assert same.meta.arguments == source.meta.arguments
    assert all(torch.equal(t, source.network.state_dict()[n]) for n, t in same.network.state_dict().items())


def test_kept_weights_are_copied_unchanged():
    source = checkpoint({**dense_widths([4]), "encoders.0": [6, 4]})
    plan = plan_for(source, ratios={"encoders.0": 0.5})
    pruned = rebuild(source, plan).network
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
    pruned, dense = rebuild(source, plan).network, source.network
    assert torch.equal(pruned.decoders[1].conv1.weight, dense.decoders[1].conv1.weight[rows][:, columns])
    assert torch.equal(pruned.decoders[0].bias, dense.decoders[0].bias[list(up)])


def test_the_rebuilt_checkpoint_tells_its_story_and_survives_disk(tmp_path):
    source = checkpoint(dense_widths([4, 8]))
    plan = plan_for(source)
    pruned = rebuild(source, plan)
    assert pruned.meta.arguments["widths"] == dense_widths([2, 4])
    assert (pruned.meta.stage, pruned.meta.parent) == ("pruned", source.meta.digest)
    assert pruned.meta.plan == {"digest": plan.digest, "criterion": "l1_norm", "default": 0.5, "ratios": {}}
    save(tmp_path / "pruned.safetensors", pruned.network, pruned.meta)
    assert_same_outputs(load(tmp_path / "pruned.safetensors").network, pruned.network, 16)


def test_rebuilding_leaves_the_source_alone():
    source = checkpoint(dense_widths([4]))
    before = {name: tensor.clone() for name, tensor in source.network.state_dict().items()}
    pruned = rebuild(source, plan_for(source))
    with torch.no_grad():
        for tensor in pruned.network.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.network.state_dict().items())


def test_a_plan_for_another_shape_is_refused():
    plan = plan_for(checkpoint(dense_widths([4])))
    with pytest.raises(PlanError, match=r"does not fit this network: bottleneck\.conv1 has 16 channels, .* expects 8"):
        rebuild(checkpoint({**dense_widths([4]), "bottleneck": [16, 8]}), plan)
    with pytest.raises(PlanError, match=r"decoders\.2 has 4 channels, the plan expects 0 \(5 such difference"):
        rebuild(checkpoint({**dense_widths([4, 4]), "bottleneck": [8, 8]}), plan)


@pytest.mark.parametrize("kept", [[], [0, 0], [4], [-1]])
def test_impossible_indices_are_refused(kept: list[int]):
    source = checkpoint(dense_widths([4]))
    groups = find_groups(source.network, in_channels=IN_CHANNELS)
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


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0, 0.85))
def test_any_traceable_network_prunes(seed: int, ratio: float):
    torch.manual_seed(seed)
    dense = Stranger().eval()
    shake(dense, seed=seed)
    plan = rank(dense, in_channels=1, criterion="random", default=ratio, block_ratios={}, seed=seed, source="")
    groups = find_groups(dense, in_channels=1)
    assert [g.name for g in groups] == ["stem", "left", "right", "plain"], "channels that leave stay whole"
    quiet, small = Stranger().eval(), Stranger().eval()
    quiet.load_state_dict(masked(dense.state_dict(), groups, plan.kept))
    for name, tensor in sliced(dense.state_dict(), groups, plan.kept).items():
        owner, _, leaf = name.rpartition(".")
        module = small.get_submodule(owner)
        (module._parameters if leaf in module._parameters else module._buffers)[leaf] = tensor
    assert_same_outputs(small, quiet, 8)


def test_a_norm_without_weights_can_be_pruned():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Conv2d(4, 2, 1))
    groups = find_groups(network, in_channels=1)
    smaller = sliced(network.state_dict(), groups, {"0": [1, 3]})
    assert {name: tuple(t.shape) for name, t in smaller.items() if t.ndim} == {
        "0.weight": (2, 1, 3, 3),
        "0.bias": (2,),
        "1.running_mean": (2,),
        "1.running_var": (2,),
        "3.weight": (2, 2, 1, 1),
        "3.bias": (2,),
    }


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.data())
def test_top_keeps_the_highest(scores: list[float], data: st.DataObject):
    count = data.draw(st.integers(0, len(scores)))
    kept = top(np.array(scores), count)
    assert len(kept) == count
    assert list(kept) == sorted(set(kept))
    lost = set(range(len(scores))) - set(kept)
    assert all(scores[i] >= scores[j] for i in kept for j in lost)
    assert all(i < j for i in kept for j in lost if scores[i] == scores[j])
