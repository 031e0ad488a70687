"""Other people's networks at half their channels: equal to the masked one, trained, reloaded, exported."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pruning_kit import largest_difference, outputs_of, session_difference, silenced, train_one_step
from torch import nn
from zoo import ZOO, image

from compress.export.onnx import export_onnx
from compress.prune import PruningPlan, load, rank, rebuild, save

RATIO = 0.5
OUTPUT, GATE = "they leave the network", "one channel of this layer scales several channels of another"
IDLE = "the example does not reach it"

WHOLE: dict[str, dict[str, str]] = {
    "unet-batch": {"model.2.conv": OUTPUT},
    "unet-instance": {"model.2.conv": OUTPUT},
    "unet-residual-batch": dict.fromkeys(["model.2.0.conv", "model.2.1.conv.unit0.conv"], OUTPUT),
    "unet-residual-instance": dict.fromkeys(["model.2.0.conv", "model.2.1.conv.unit0.conv"], OUTPUT),
    "basicunet-batch": {"final_conv": OUTPUT},
    "basicunet-instance": {"final_conv": OUTPUT},
    "dynunet-batch": {"output_block.conv.conv": OUTPUT},
    "dynunet-instance": {"output_block.conv.conv": OUTPUT},
    "dynunet-residual": {"output_block.conv.conv": OUTPUT},
    "dynunet-supervised": {
        "skip_layers.next_layer.next_layer.super_head.conv.conv": OUTPUT,
        "skip_layers.next_layer.super_head.conv.conv": OUTPUT,
        "output_block.conv.conv": OUTPUT,
    },
    "attentionunet": {
        "model.1.submodule.1.attention.psi.0.conv": GATE,
        "model.1.attention.psi.0.conv": GATE,
        "model.2.conv": OUTPUT,
    },
    "segresnet-group": {"conv_final.2.conv": OUTPUT},
    "segresnet-batch": {"conv_final.2.conv": OUTPUT},
    "segresnet-instance": {"conv_final.2.conv": OUTPUT},
    "plainconvunet": {f"decoder.seg_layers.{i}": OUTPUT if i == 2 else IDLE for i in range(3)},
    "plainconvunet-supervised": dict.fromkeys([f"decoder.seg_layers.{i}" for i in range(3)], OUTPUT),
    "residualencoderunet": {f"decoder.seg_layers.{i}": OUTPUT if i == 2 else IDLE for i in range(3)},
    "resnet-basic": {"fc": OUTPUT},
    "resnet-bottleneck": {"fc": OUTPUT},
    "resnext": {"fc": OUTPUT},
    "mobilenet": {"fc": OUTPUT},
}
"""Heads, one-channel attention gates, and heads that only deep supervision runs; nothing else stays whole."""
EXPORTED = [
    "unet-residual-instance",
    "basicunet-batch",
    "dynunet-supervised",
    "attentionunet",
    "segresnet-group",
    "plainconvunet",
    "mobilenet",
]
"""A third of them; benchmarks/third_party.py exports all."""


@dataclass(frozen=True)
class Case:
    dense: nn.Module
    plan: PruningPlan
    small: nn.Module
    images: torch.Tensor


@functools.lru_cache(maxsize=1)  # tests are ordered by network
def case(name: str) -> Case:
    entry = ZOO[name]
    if entry.missing:
        pytest.skip(entry.missing)
    dense = entry.build().eval()
    plan = rank(dense, image(entry), ratio=RATIO, align="none")
    return Case(dense, plan, rebuild(dense, plan), image(entry, batch=2))


@pytest.fixture(params=list(ZOO), scope="module")
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def test_only_heads_and_gates_stay_whole(name: str):
    found = {layer: reason.partition(" (")[0] for layer, reason in case(name).plan.whole.items()}
    assert found == WHOLE[name]


def test_every_group_loses_half(name: str):
    each = case(name)
    assert {group: len(plan.kept) / plan.width for group, plan in each.plan.groups.items() if plan.width % 2 == 0} == {
        group: RATIO for group, plan in each.plan.groups.items() if plan.width % 2 == 0
    }
    assert all(0 < len(plan.kept) < plan.width for plan in each.plan.groups.values())
    assert parameters(each.small) < 0.4 * parameters(each.dense)


def test_pruned_equals_masked(name: str):
    each = case(name)
    assert largest_difference(each.small, silenced(each.dense, each.plan), each.images) <= 1e-5
    assert largest_difference(each.small, each.dense, each.images) > 0.01, "the oracle is no tautology"


def test_pruned_equals_masked_in_training_mode(name: str):
    each = case(name)
    small = rebuild(each.dense, each.plan).double().train()
    quiet = silenced(each.dense, each.plan).double().train()
    assert largest_difference(small, quiet, each.images.double()) <= 1e-5


def test_it_trains(name: str):
    each = case(name)
    train_one_step(rebuild(each.dense, each.plan), each.images)


def test_it_reloads_bit_for_bit_without_pickle(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("pickle")

    each = case(name)
    for module, function in ((pickle, "loads"), (pickle, "load"), (torch, "load"), (torch, "save")):
        monkeypatch.setattr(module, function, forbidden)
    again = load(ZOO[name].build, save(each.small, each.plan, tmp_path / "small.safetensors"))
    pairs = zip(outputs_of(again, each.images), outputs_of(each.small.eval(), each.images), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)


@pytest.mark.filterwarnings("ignore")  # those of torch.onnx
@pytest.mark.parametrize("exported", EXPORTED)
def test_onnx_runtime_agrees(exported: str, tmp_path: Path):
    each = case(exported)
    path = export_onnx(each.small, tmp_path / "small.onnx", divisor=16, channels=each.images.shape[1])
    assert session_difference(each.small.eval(), each.images, path) <= 1e-4


def test_every_network_of_the_zoo_is_asserted():
    assert WHOLE.keys() == ZOO.keys()
