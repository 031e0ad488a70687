"""Cutting in place: tensors, the counts that modules keep of them, and what must stay as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from compress.errors import PlanError
from compress.prune import find_groups
from compress.prune.resize import resize


def cut(network: nn.Module, kept: dict[str, list[int]], *, side: int = 8) -> nn.Module:
    """Resize in evaluation mode and run once; groups that are not named stay whole."""
    groups = find_groups(network, torch.zeros(1, 1, side, side)).groups
    resize(network, groups, {g.name: kept.get(g.name, list(range(g.width))) for g in groups})
    network.eval()(torch.zeros(1, 1, side, side))
    return network


def counts(module: Any, *names: str) -> tuple[int, ...]:
    return tuple(getattr(module, name) for name in names)


def between(*middle: nn.Module, width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, width, 1), *middle, nn.Conv2d(width, 2, 1))


MIDDLES: dict[str, tuple[Callable[[], nn.Module], list[int], dict[str, int]]] = {
    "BatchNorm": (lambda: nn.BatchNorm2d(8), [1, 2, 6], {"num_features": 3}),
    "BatchNorm without affine": (lambda: nn.BatchNorm2d(8, affine=False), [0, 7], {"num_features": 2}),
    "InstanceNorm": (lambda: nn.InstanceNorm2d(8, affine=True), [0, 1, 2], {"num_features": 3}),
    "InstanceNorm without tensors": (lambda: nn.InstanceNorm2d(8), [0, 1, 2], {"num_features": 3}),
    "InstanceNorm with statistics": (lambda: nn.InstanceNorm2d(8, track_running_stats=True), [5], {"num_features": 1}),
    "GroupNorm": (lambda: nn.GroupNorm(4, 8), [0, 3], {"num_groups": 2, "num_channels": 4}),
    "GroupNorm without affine": (lambda: nn.GroupNorm(4, 8, affine=False), [1], {"num_groups": 1, "num_channels": 2}),
    "PReLU": (lambda: nn.PReLU(8), [1, 2], {"num_parameters": 2}),
    "PReLU for all": (lambda: nn.PReLU(), [1, 2], {"num_parameters": 1}),
    "depthwise": (
        lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
        [2, 3, 5],
        {"in_channels": 3, "out_channels": 3, "groups": 3},
    ),
    "grouped": (
        lambda: nn.Conv2d(8, 8, 1, groups=2),
        [1],
        {"in_channels": 4, "out_channels": 4, "groups": 1},
    ),
    "grouped transposed": (
        lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=4),
        [0, 2, 3],
        {"in_channels": 6, "out_channels": 6, "groups": 3},
    ),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_modules_count_what_is_left(name: str):
    make, kept, expected = MIDDLES[name]
    network = cut(between(make()), {"0": kept})
    assert {key: getattr(network[1], key) for key in expected} == expected
    per_unit = 8 // len(find_channels(make, name))
    assert network[0].out_channels == network[2].in_channels == len(kept) * per_unit


def find_channels(make: Callable[[], nn.Module], name: str) -> range:
    """The units of eight channels: whole groups where there are groups."""
    module = make()
    groups = getattr(module, "num_groups", getattr(module, "groups", 8))
    return range(groups)


def test_tensors_hold_the_kept_values():
    network = between(nn.BatchNorm2d(8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cut(network, {"0": [1, 4, 6]})
    after = network.state_dict()
    assert torch.equal(after["0.weight"], before["0.weight"][[1, 4, 6]])
    assert torch.equal(after["2.weight"], before["2.weight"][:, [1, 4, 6]])
    assert torch.equal(after["1.running_var"], before["1.running_var"][[1, 4, 6]])
    assert torch.equal(after["2.bias"], before["2.bias"])


def test_flattened_channels_leave_with_all_their_pixels():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(4 * 9, 6), nn.ReLU(), nn.Linear(6, 2))
    weight = network[2].weight.detach().clone()
    cut(network, {"0": [1, 3], "2": [0, 5]}, side=3)
    assert counts(network[2], "in_features", "out_features") == (18, 2)
    assert counts(network[4], "in_features", "out_features") == (2, 2)
    columns = [*range(9, 18), *range(27, 36)]
    assert torch.equal(network[2].weight, weight[[0, 5]][:, columns])


def test_transposed_convolutions_shrink_along_their_own_dimension():
    network = nn.Sequential(nn.ConvTranspose2d(1, 4, 2, 2), nn.ConvTranspose2d(4, 3, 2, 2))
    cut(network, {"0": [0, 3]})
    assert network[0].weight.shape == (1, 2, 2, 2)
    assert network[1].weight.shape == (2, 3, 2, 2)
    assert counts(network[1], "in_channels", "out_channels") == (2, 3)


class Tied(nn.Module):
    """One weight in two modules, and one module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, bias=False)
        self.two.weight = self.one.weight
        self.alias, self.head = self.one, nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(torch.relu(self.alias(torch.relu(self.stem(x))))))


def test_what_is_shared_stays_shared():
    network = cut(Tied(), {"stem": [0, 2]})
    assert network.two.weight is network.one.weight
    assert network.alias is network.one
    assert network.one.weight.shape == (2, 2, 1, 1)
    assert counts(network.two, "in_channels", "out_channels") == (2, 2)


def test_gradients_types_and_transient_buffers_are_kept():
    network = between(nn.BatchNorm2d(8)).double()
    network[0].weight.requires_grad_(False)
    network[1]._non_persistent_buffers_set.add("running_mean")
    groups = find_groups(network, torch.zeros(1, 1, 8, 8).double()).groups
    resize(network, groups, {"0": [1, 2]})
    assert isinstance(network[0].weight, nn.Parameter)
    assert not network[0].weight.requires_grad
    assert network[2].weight.requires_grad
    assert all(t.dtype == torch.float64 for t in network.parameters())
    assert network[1].running_mean.shape == (2,)
    assert "1.running_mean" not in network.state_dict()


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"0": []}, "do not fit its 8"),
        ({"0": [1, 1]}, "do not fit"),
        ({"0": [8]}, "do not fit"),
        ({}, "nothing about 0"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(kept: dict[str, list[int]], message: str):
    network = between(nn.BatchNorm2d(8))
    groups = find_groups(network, torch.zeros(1, 1, 8, 8)).groups
    with pytest.raises(PlanError, match=message):
        resize(network, groups, kept)
    assert network[0].weight.shape[0] == network[0].out_channels == 8
