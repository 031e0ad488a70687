"""Costs at widths that are only imagined equal those of the networks rebuilt to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_kit import checkpoint, widths
from torch import nn
from zoo import ZOO, image

from compress.errors import PlanError
from compress.models.cost import count_macs, count_parameters, layer_costs
from compress.prune import find_groups, rank, rebuild
from compress.prune.budget import narrowed
from compress.prune.shapes import Shapes, layers_of

SIZE = (16, 16)
IMAGE = torch.zeros(1, 1, *SIZE)


@settings(max_examples=4)
@given(widths(least=2), st.integers(0, 99))
def test_unet_costs_equal_those_of_the_rebuilt_network(sizes, seed):
    network = checkpoint(sizes).network
    whole = rank(network, IMAGE, ratio=0.0, align="none")
    shapes = Shapes(network, IMAGE, whole.channel_groups)
    rng = np.random.default_rng(seed)
    kept = {name: int(rng.integers(1, g.width + 1)) for name, g in whole.groups.items()}
    small = rebuild(network, narrowed(whole, kept))
    found = shapes.at(kept)
    assert found == layers_of(small, IMAGE)
    assert shapes.parameters(kept) == count_parameters(small)
    assert shapes.macs(kept) == sum(layer.macs for layer in found) == count_macs(small, size=SIZE)
    counted = {c.name: (c.width, c.macs) for c in layer_costs(small, size=SIZE)}
    assert {x.name: (x.outputs, x.macs) for x in found} == counted


@pytest.mark.parametrize("name", ["resnet-basic", "resnext", "mobilenet", "plainconvunet-supervised"])
def test_costs_of_other_networks(name):
    entry = ZOO[name]
    if entry.missing:
        pytest.skip(entry.missing)
    network, example = entry.build(), image(entry)
    whole = rank(network, example, ratio=0.0, align="none")
    kept = {name: max(1, g.width // 3) for name, g in whole.groups.items()}
    small = rebuild(network, narrowed(whole, kept))
    shapes = Shapes(network, example, whole.channel_groups)
    assert shapes.at(kept) == layers_of(small, example)
    assert shapes.at({}) == shapes.layers
    assert shapes.parameters(kept) == count_parameters(small) < shapes.parameters({})


def test_layers_in_order_of_execution():
    network = checkpoint({"encoders.0": [3, 5], "bottleneck": [7, 4], "decoders.0": [6], "decoders.1": [2, 3]}).network
    found = layers_of(network, IMAGE)
    assert [x.name for x in found][-4:] == ["decoders.0", "decoders.1.conv1", "decoders.1.conv2", "head"]
    up = found[4]
    assert (up.kind, up.inputs, up.outputs, up.kernel, up.positions, up.groups) == ("transposed", 4, 6, 4, 256, 1)
    assert up.macs == 8 * 8 * 4 * 6 * 4
    assert found[5].inputs == 5 + 6


class Mixed(nn.Module):
    """A layer that is used twice, a grouped transposed convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.twice = nn.Conv2d(8, 8, 1, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, groups=4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(self.twice(torch.relu(self.twice(self.stem(x)))))
        return self.head(x.permute(0, 2, 3, 1))


def test_shared_grouped_and_linear_layers():
    network = Mixed()
    groups = find_groups(network, IMAGE).groups
    shapes = Shapes(network, IMAGE, groups)
    assert [x.name for x in shapes.layers] == ["stem", "twice", "twice", "up", "head"]
    assert shapes.parameters({}) == count_parameters(network)
    up, head = shapes.layers[3:]
    assert (up.macs, up.groups) == (256 * 8 * 1 * 4, 4)
    assert (head.kind, head.positions, head.macs) == ("linear", 32 * 32, 32 * 32 * 4 * 2)
    for group in groups:
        kept = {group.name: group.width // 2}
        plan = narrowed(rank(network, IMAGE, ratio=0.0, align="none"), kept)
        assert shapes.at(kept) == layers_of(rebuild(network, plan), IMAGE)
        assert shapes.parameters(kept) == count_parameters(rebuild(network, plan))


def test_modes_and_hooks_are_left_as_they_were():
    network = checkpoint({"encoders.0": [3, 5], "bottleneck": [7, 4], "decoders.0": [6], "decoders.1": [2, 3]}).network
    network.train()
    network.bottleneck.eval()
    layers_of(network, IMAGE)
    assert network.training and not network.bottleneck.training
    assert not any(module._forward_hooks for module in network.modules())


class Bare(nn.Module):
    """Convolves with a weight that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 1, 3, 3))
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(nn.functional.conv2d(x, self.weight))


def test_a_weight_without_a_layer_is_refused_by_name():
    network = Bare()
    with pytest.raises(PlanError, match="weight"):
        Shapes(network, IMAGE, find_groups(network, IMAGE).groups)
