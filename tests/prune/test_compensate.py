"""Compensation: correlated channels are made up for, nothing else changes, and no layer becomes worse."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from compress.errors import PlanError
from compress.prune import compensate as module_under_test
from compress.prune.compensate import compensate, patches_at

WIDTHS = (8, 12, 6)


def smooth_images(count: int = 6, size: int = 24) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((count, size, size))
    return (8 * gaussian_filter(noise, sigma=(0, 2, 2))).astype(np.float32)


def chain(*, bias: bool, norm: bool = True, seed: int = 0) -> nn.Sequential:
    """Convolutions 1 -> 8 -> 12 -> 6, each with its norm and ReLU."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
        if norm:
            made = nn.BatchNorm2d(outputs)
            nn.init.uniform_(made.running_mean, -0.5, 0.5)
            nn.init.uniform_(made.bias, -0.5, 0.5)
            layers.append(made)
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers).eval()


def cut(dense: nn.Sequential, kept: dict[str, list[int]]) -> nn.Sequential:
    """A chain without the other channels, the remaining weights as they were."""
    arriving, layers = [0], []
    leaving = arriving
    for name, layer in dense.named_children():
        layer = deepcopy(layer)
        if isinstance(layer, nn.Conv2d):
            leaving = kept.get(name, list(range(layer.out_channels)))
            layer.weight = nn.Parameter(layer.weight[leaving][:, arriving].detach().clone())
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias[leaving].detach().clone())
            layer.in_channels, layer.out_channels = len(arriving), len(leaving)
            arriving = leaving
        elif isinstance(layer, nn.BatchNorm2d):
            state = {k: v[leaving] if v.ndim else v for k, v in layer.state_dict().items()}
            layer = nn.BatchNorm2d(len(leaving))
            layer.load_state_dict(state)
        layers.append(layer)
    return nn.Sequential(*layers).eval()


@torch.no_grad()
def output_error(dense: nn.Module, pruned: nn.Module, images: np.ndarray) -> float:
    wanted, found = (network.eval()(torch.from_numpy(images)[:, None]) for network in (dense, pruned))
    return float((wanted - found).square().sum() / wanted.square().sum())


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("bias", [False, True])
def test_correlated_channels_are_made_up_for(bias: bool):
    dense, images = chain(bias=bias), smooth_images()
    kept = {"0": [0, 2, 4, 6], "3": list(range(0, 12, 2))}
    pruned = cut(dense, kept)
    before, untouched = output_error(dense, pruned, images), state_of(pruned)
    repairs = compensate(dense, pruned, kept, images, seed=0)
    assert output_error(dense, pruned, images) < 0.1 * before
    assert [r.layer for r in repairs] == ["3", "6"]
    assert all(r.after < 0.25 * r.before for r in repairs)
    parts = {"3.weight", "6.weight"} | ({"3.bias", "6.bias"} if bias else set())
    assert changed(pruned, untouched) == parts, "only convolutions that lost inputs change, never a norm"


def test_a_copy_of_a_kept_channel_is_not_missed():
    dense, images = chain(bias=True, norm=False), smooth_images()
    with torch.no_grad():
        dense[0].weight[4:] = 2.0 * dense[0].weight[:4]
        dense[0].bias[4:] = 2.0 * dense[0].bias[:4]
    kept = {"0": [0, 1, 2, 3]}
    pruned = cut(dense, kept)
    assert output_error(dense, pruned, images) > 0.1
    (repair,) = compensate(dense, pruned, kept, images, seed=0)
    assert repair.before > 0.1 and repair.after < 1e-5
    assert output_error(dense, pruned, smooth_images(9)[6:]) < 1e-4, "also on images that it never saw"


def test_later_layers_answer_for_what_earlier_ones_lost():
    """The inputs are the pruned network's own, so fitting the last layer alone repairs less."""
    dense, images = chain(bias=True), smooth_images()
    kept = {"0": [1, 5], "3": [0, 3, 6, 9]}
    pruned = cut(dense, kept)
    alone = cut(dense, kept)
    compensate(dense, pruned, kept, images, seed=0)
    with torch.no_grad():
        alone[6].weight.copy_(pruned[6].weight)
        alone[6].bias.copy_(pruned[6].bias)
    assert output_error(dense, pruned, images) < 0.5 * output_error(dense, alone, images)


def test_nothing_changes_where_nothing_was_pruned():
    dense = chain(bias=True)
    pruned = cut(dense, {})
    before = state_of(pruned)
    assert compensate(dense, pruned, {}, smooth_images(), seed=0) == ()
    assert not changed(pruned, before)


def test_lost_outputs_alone_change_nothing():
    dense = chain(bias=True)
    kept = {"6": [0, 5]}
    pruned = cut(dense, kept)
    before = state_of(pruned)
    assert compensate(dense, pruned, kept, smooth_images(), seed=0) == ()
    assert not changed(pruned, before)


def test_a_fit_that_does_not_generalise_is_not_taken():
    """With fewer positions than unknowns many fits fail on the positions that they never saw."""
    dense = chain(bias=False)
    kept = {"0": [0, 2, 4, 6], "3": list(range(0, 12, 2))}
    noise = np.random.default_rng(0).standard_normal((6, 24, 24)).astype(np.float32)
    stayed = 0
    for seed in range(10):
        pruned = cut(dense, kept)
        before = state_of(pruned)
        repairs = compensate(dense, pruned, kept, noise, positions=12, seed=seed)
        assert all(r.after <= r.before for r in repairs)
        same = {f"{r.layer}.weight" for r in repairs if r.after == r.before}
        assert changed(pruned, before) == {"3.weight", "6.weight"} - same
        stayed += len(same)
    assert 0 < stayed < 20


def test_the_reported_error_is_that_of_the_new_weights():
    """One layer, every position: the error before is known without the fit."""
    dense, images = chain(bias=True), smooth_images(2)
    kept = {"0": [0, 1, 2, 3, 4, 5]}
    pruned = cut(dense, kept)
    with torch.no_grad():
        stack = torch.from_numpy(images)[:, None]
        wanted, found = (network[:4](stack) for network in (dense, pruned))
        error = float((wanted - found).square().sum() / wanted.square().sum())
    repairs = compensate(dense, pruned, kept, images, positions=10**6, seed=0)
    with torch.no_grad():
        after = float((wanted - pruned[:4](stack)).square().sum() / wanted.square().sum())
    assert repairs[0].layer == "3"
    assert repairs[0].before == pytest.approx(error, rel=0.15), "a fifth of the positions stands for all"
    assert repairs[0].after == pytest.approx(after, rel=0.3)


def test_equal_seeds_give_equal_bits():
    dense, images, kept = chain(bias=True), smooth_images(), {"0": [0, 2, 4]}
    found = []
    for seed in (1, 1, 2):
        pruned = cut(dense, kept)
        compensate(dense, pruned, kept, images, positions=500, seed=seed)
        found.append(pruned[3].weight)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_no_more_positions_are_kept_than_asked_for(monkeypatch: pytest.MonkeyPatch):
    counts: list[int] = []

    def counting(module: nn.Conv2d, arriving: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        counts.append(places.shape[1])
        return patches_at(module, arriving, places)

    monkeypatch.setattr(module_under_test, "patches_at", counting)
    monkeypatch.setattr(module_under_test, "BATCH", 2)
    dense, kept = chain(bias=False), {"0": [0, 2, 4]}
    compensate(dense, cut(dense, kept), kept, smooth_images(), positions=300, seed=0)
    assert counts == [100, 100, 100]


def test_kept_outputs_that_do_not_fit_are_refused():
    dense = chain(bias=False)
    kept = {"0": [0, 2, 4], "3": [0, 1]}
    with pytest.raises(PlanError, match="3 has 2 outputs, but 12 are said to have stayed"):
        compensate(dense, cut(dense, kept), {"0": [0, 2, 4]}, smooth_images(), seed=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": 1},
        {"padding": (2, 0), "stride": (1, 2)},
        {"padding": 2, "dilation": (2, 3), "stride": 2},
        {"padding": "same", "dilation": 2, "kernel_size": (2, 5)},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "valid", "kernel_size": 1},
    ],
)
def test_patches_times_weights_are_the_convolution(settings: dict[str, Any]):
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, **{"kernel_size": 3, **settings})
    images = torch.randn(2, 3, 11, 13)
    with torch.no_grad():
        outputs = module(images)
        places = torch.nonzero(torch.ones(outputs.shape[0], *outputs.shape[2:])).T
        found = patches_at(module, images, places) @ module.weight.flatten(1).T + module.bias
    torch.testing.assert_close(found, outputs.permute(0, 2, 3, 1).flatten(0, 2), rtol=1e-4, atol=1e-5)


def test_grouped_and_reused_convolutions_keep_their_weights():
    class Both(nn.Module):
        def __init__(self, middle: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, middle, 1)
            self.deep = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
            self.twice = nn.Conv2d(middle, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.twice(x) + self.twice(self.deep(x))

    torch.manual_seed(0)
    dense, pruned = Both(4), Both(2)
    before = state_of(pruned)
    assert compensate(dense, pruned, {}, smooth_images(), seed=0) == ()
    assert not changed(pruned, before)
