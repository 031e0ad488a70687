"""Scores against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning_kit import checkpoint, plan_for
from torch import nn

from compress.models.unet import dense_widths
from compress.prune.criteria import score, slice_norms
from compress.prune.groups import find_groups

PINNED = [0.90004316, 0.29154913, 0.32568811, 0.34007041]


def hand_made() -> nn.Sequential:
    """Filters with L1 norms 1, 2, 3 and consumers' slices with L1 norms 6, 1, 2."""
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1, 1))
        network[0].bias.fill_(100.0)
        network[1].weight.copy_(torch.tensor([50.0, 0.0, 0.0]))
        network[3].weight.copy_(torch.tensor([[3.0, -1.0, 1.0], [-3.0, 0.0, 1.0]]).view(2, 3, 1, 1))
    return network


def test_l1_norm_adds_filter_and_consumer_each_over_its_mean():
    network = hand_made()
    (group,) = find_groups(network, in_channels=1)
    scores = score("l1_norm", group, network.state_dict(), seed=0)
    np.testing.assert_allclose(scores, np.array([1, 2, 3]) / 2 + np.array([6, 1, 2]) / 3)


def test_l1_norm_does_not_see_the_scale_of_a_tensor():
    network = hand_made()
    (group,) = find_groups(network, in_channels=1)
    before = score("l1_norm", group, network.state_dict(), seed=0)
    with torch.no_grad():
        network[3].weight.mul_(1000)
        network[1].weight.mul_(7)
        network[0].bias.mul_(7)
    np.testing.assert_allclose(score("l1_norm", group, network.state_dict(), seed=0), before)


def test_l1_norm_of_zero_weights_is_zero_not_nan():
    network = hand_made()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    (group,) = find_groups(network, in_channels=1)
    assert score("l1_norm", group, network.state_dict(), seed=0).tolist() == [0, 0, 0]


def test_a_skip_connection_counts_both_consumers():
    source = checkpoint(dense_widths([4]))
    groups = {group.name: group for group in find_groups(source.network, in_channels=1)}
    weights = [member for member in groups["encoders.0.conv2"].members if member.role != "norm"]
    assert [(member.tensor, member.dim, member.offset) for member in weights] == [
        ("encoders.0.conv2.weight", 0, 0),
        ("bottleneck.conv1.weight", 1, 0),
        ("decoders.1.conv1.weight", 1, 0),
    ]
    up = [(m.tensor, m.dim, m.offset) for m in groups["decoders.0"].members]
    assert up == [("decoders.0.weight", 1, 0), ("decoders.0.bias", 0, 0), ("decoders.1.conv1.weight", 1, 4)]


def test_the_lowest_scores_are_removed():
    source = checkpoint(dense_widths([4]))
    with torch.no_grad():
        source.network.encoders[0].conv1.weight[1] = 0
        source.network.encoders[0].conv2.weight[:, 1] = 0
    assert plan_for(source, default=0.25).kept["encoders.0.conv1"] == (0, 2, 3)


@pytest.mark.parametrize("dim", [0, 1])
def test_slice_norms(dim: int):
    tensor = torch.arange(-6.0, 6.0).view(2, 3, 2, 1)
    axes = tuple(axis for axis in range(4) if axis != dim)
    np.testing.assert_array_equal(slice_norms(tensor, dim), tensor.abs().sum(axes).numpy())
    assert slice_norms(tensor, dim).dtype == np.float64


def test_random_scores_depend_on_seed_and_group_alone():
    source, other = checkpoint(dense_widths([4]), seed=0), checkpoint(dense_widths([4]), seed=1)
    group = find_groups(source.network, in_channels=1)

    def scores(index: int, seed: int, net: object = source) -> list[float]:
        return score("random", group[index], net.network.state_dict(), seed=seed).tolist()

    assert scores(0, 5) == scores(0, 5, other)
    assert scores(0, 5) != scores(0, 6)
    assert scores(0, 5) != scores(1, 5)
    assert all(0 <= value < 1 for value in scores(0, 5))


def test_random_plans_are_pinned():
    """Published controls are repeated from their seed."""
    group = find_groups(checkpoint(dense_widths([4])).network, in_channels=1)[0]
    np.testing.assert_allclose(score("random", group, {}, seed=42), PINNED, atol=1e-8)
