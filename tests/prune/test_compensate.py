"""Compensation: correlated channels are made up for, nothing else changes, and no layer becomes worse."""

from __future__ import annotations

import importlib
import threading
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from compress.errors import PlanError
from compress.prune import rank, rebuild
from compress.prune.compensate import compensate, kept_outputs
from compress.prune.patches import add_to_weights, patches_at, weights_of

module_under_test = importlib.import_module("compress.prune.compensate")  # the package has a function of that name
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

    def counting(module: nn.Module, arriving: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
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


CONVOLUTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (nn.Conv2d, {}),
    "padded": (nn.Conv2d, {"padding": 1}),
    "padding and stride differ": (nn.Conv2d, {"padding": (2, 0), "stride": (1, 2)}),
    "dilated": (nn.Conv2d, {"padding": 2, "dilation": (2, 3), "stride": 2}),
    "same": (nn.Conv2d, {"padding": "same", "dilation": 2, "kernel_size": (2, 5)}),
    "reflected": (nn.Conv2d, {"padding": 1, "padding_mode": "reflect"}),
    "valid": (nn.Conv2d, {"padding": "valid", "kernel_size": 1}),
    "grouped": (nn.Conv2d, {"padding": 1, "groups": 2}),
    "depthwise": (nn.Conv2d, {"groups": 4}),
    "one dimension": (nn.Conv1d, {"padding": 2, "stride": 2}),
    "one dimension, same": (nn.Conv1d, {"padding": "same", "kernel_size": 4, "dilation": 2}),
    "three dimensions": (nn.Conv3d, {"padding": (1, 0, 2), "stride": (1, 2, 1)}),
    "transposed": (nn.ConvTranspose2d, {"kernel_size": 2, "stride": 2}),
    "transposed, overlapping": (nn.ConvTranspose2d, {"stride": 2, "padding": 1, "output_padding": 1}),
    "transposed, dilated": (nn.ConvTranspose2d, {"stride": (2, 3), "dilation": (1, 2), "padding": (0, 2)}),
    "transposed, one dimension": (nn.ConvTranspose1d, {"stride": 3}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_patches_times_weights_are_the_convolution(name: str):
    torch.manual_seed(0)
    kind, settings = CONVOLUTIONS[name]
    module = kind(4, 8, **{"kernel_size": 3, **settings})
    images = torch.randn(2, 4, *(11, 13, 7)[: len(module.kernel_size)])
    with torch.no_grad():
        outputs = module(images)
        places = torch.nonzero(torch.ones(outputs.shape[0], *outputs.shape[2:])).T
        each = 4 // module.groups
        found = [
            patches_at(module, images[:, g * each : (g + 1) * each], places) @ weights_of(module, g).T
            for g in range(module.groups)
        ]
        expected = outputs.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(torch.cat(found, dim=1) + module.bias, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_is_added_is_what_the_weights_gain(name: str):
    kind, settings = CONVOLUTIONS[name]
    module = kind(4, 8, **{"kernel_size": 3, **settings})
    group = module.groups - 1
    before = weights_of(module, group).detach().clone()
    change = torch.randn(before.shape)
    with torch.no_grad():
        add_to_weights(module, group, change)
    torch.testing.assert_close(weights_of(module, group), before + change)


class Mixed(nn.Module):
    """A depthwise, a transposed and a convolution that runs twice."""

    def __init__(self, middle: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, middle, 3, padding=1)
        self.deep = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.up = nn.ConvTranspose2d(middle, 6, 2, stride=2)
        self.twice = nn.Conv2d(6, 6, 1)
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.twice(self.twice(self.up(self.deep(self.first(x).relu()).relu()))))


def test_transposed_and_grouped_convolutions_are_fitted_and_reused_ones_keep_their_weights():
    dense = Mixed(6)
    plan = rank(dense, torch.zeros(1, 1, 16, 16), ratio=0.5, align="none")
    pruned = rebuild(dense, plan)
    before, untouched, images = output_error(dense, pruned, smooth_images()), state_of(pruned), smooth_images()
    repairs = compensate(dense, pruned, kept_outputs(plan), images, seed=0)
    assert [repair.layer for repair in repairs] == ["deep", "up", "head"] and len(plan.kept["up"]) == 3
    fitted = {f"{name}.{part}" for name in ("up", "head") for part in ("weight", "bias")}
    assert fitted <= changed(pruned, untouched) <= fitted | {"deep.weight", "deep.bias"}, "deep has all that it needs"
    assert repairs[1].after < 0.5 * repairs[1].before
    assert output_error(dense, pruned, images) < 0.5 * before


def test_every_layer_runs_once_for_every_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module_under_test, "BATCH", 2)
    dense, kept = chain(bias=True), {"0": [0, 2, 4, 6], "3": list(range(0, 12, 2))}
    pruned = cut(dense, kept)
    seen: list[str] = []
    for network, of in ((dense, "dense"), (pruned, "pruned")):
        for index in (0, 3, 6):
            network[index].register_forward_hook(lambda *_, said=f"{of} {index}": seen.append(said))
    compensate(dense, pruned, kept, smooth_images(6), seed=0)
    once = {name: seen.count(name) for name in set(seen)}
    # Three batches; one image more of the pruned network tells the order; nothing waits for what the last one gives.
    assert once == {"dense 0": 3, "dense 3": 3, "dense 6": 3, "pruned 0": 4, "pruned 3": 4, "pruned 6": 1}


def test_a_network_that_fails_halfway_leaves_nothing_behind():
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 1 and not self.training:
                raise ValueError("halfway")
            return x

    dense = chain(bias=True)
    kept = {"0": [0, 2, 4, 6], "3": list(range(0, 12, 2))}
    pruned = cut(dense, kept)
    pruned[4] = Fails()
    threads = threading.active_count()
    with pytest.raises(ValueError, match="halfway"):
        compensate(dense, pruned, kept, smooth_images(), seed=0)
    assert threading.active_count() == threads
    assert not any(module._forward_hooks or module._forward_pre_hooks for net in (dense, pruned) for module in net)
