"""Pruned modules on disk: bit for bit, without pickle, and loud when the file does not fit."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from pruning_kit import checkpoint, outputs_of, shake
from torch import nn

from compress.errors import CheckpointError, PlanError
from compress.models.checkpoint import load_tensors, save_tensors
from compress.models.checkpoint import save as save_checkpoint
from compress.models.unet import dense_widths
from compress.prune import PruningPlan, find_groups, load, rank, rebuild, save

IMAGE = torch.zeros(1, 1, 8, 8)


class Shared(nn.Module):
    """A module under two names, a tied weight, a constant that is not saved, one that is."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.one, self.two = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1, bias=False)
        self.two.weight, self.alias = self.one.weight, self.norm
        self.head = nn.Conv2d(width, 2, 1)
        self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)
        self.register_buffer("steps", torch.tensor(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)) * self.scale
        return self.head(self.two(torch.relu(self.one(x))))


def dense(seed: int = 0) -> Shared:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Shared()
    shake(network, seed=seed)
    return network.eval()


@pytest.fixture(scope="module")
def pruned() -> tuple[nn.Module, PruningPlan]:
    network = dense()
    plan = rank(network, IMAGE, ratio=0.5, align="none")
    return rebuild(network, plan), plan


@pytest.fixture
def path(pruned: tuple[nn.Module, PruningPlan], tmp_path: Path) -> Path:
    return save(*pruned, tmp_path / "small.safetensors")


def test_loading_gives_the_same_bits_in_evaluation_mode(pruned: tuple[nn.Module, PruningPlan], path: Path):
    small, _ = pruned
    again = load(lambda: dense(seed=5).train(), path)
    state, expected = again.state_dict(), small.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(outputs_of(again, images)[0], outputs_of(small, images)[0])
    assert not again.training
    assert again.steps == 7


def test_what_was_shared_is_shared_again(path: Path):
    again = load(dense, path)
    assert again.alias is again.norm
    assert again.two.weight is again.one.weight
    assert again.stem.out_channels == 3


def test_no_pickle_is_read_or_written(
    pruned: tuple[nn.Module, PruningPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("pickle")

    for module in (pickle, torch):
        for name in ("load", "loads", "dump", "dumps", "save"):
            monkeypatch.setattr(module, name, forbidden, raising=False)
    load(dense, save(*pruned, tmp_path / "small.safetensors"))


def test_names_may_be_text(pruned: tuple[nn.Module, PruningPlan], tmp_path: Path):
    path = save(*pruned, str(tmp_path / "small.safetensors"))
    assert isinstance(load(dense, str(path)), Shared)


def test_types_are_kept(pruned: tuple[nn.Module, PruningPlan], tmp_path: Path):
    network = dense().double()
    plan = rank(network, IMAGE.double(), ratio=0.5, align="none")
    path = save(rebuild(network, plan), plan, tmp_path / "small.safetensors")
    again = load(lambda: dense().double(), path)
    assert {tensor.dtype for tensor in again.parameters()} == {torch.float64}


def test_another_network_is_refused(path: Path):
    with pytest.raises(PlanError, match=r"does not fit this network: stem\.weight has 8 entries along dimension 0"):
        load(lambda: Shared(8), path)
    with pytest.raises(PlanError, match=r"does not fit this network: it has no stem\.weight"):
        load(lambda: nn.Conv2d(1, 6, 3), path)


def test_weights_that_the_plan_does_not_explain_are_refused(pruned: tuple[nn.Module, PruningPlan], tmp_path: Path):
    _, plan = pruned
    path = save(dense(), plan, tmp_path / "dense.safetensors")
    with pytest.raises(
        CheckpointError, match=r"stem\.weight has shape \(6, 1, 3, 3\), the network needs \(3, 1, 3, 3\)"
    ):
        load(dense, path)


def test_missing_tensors_are_named(path: Path):
    tensors, document = load_tensors(path)
    del tensors["steps"]
    save_tensors(path, tensors, document)
    with pytest.raises(CheckpointError, match="does not fit the network that was built: steps is only on one side"):
        load(dense, path)


def test_other_files_are_refused(path: Path, tmp_path: Path):
    source = checkpoint(dense_widths([2]))
    save_checkpoint(tmp_path / "unet.safetensors", source.network, source.meta)
    with pytest.raises(CheckpointError, match=r"does not hold a pruned module\. Files of `cardiocompress prune`"):
        load(dense, tmp_path / "unet.safetensors")
    with pytest.raises(CheckpointError, match="No checkpoint at"):
        load(dense, tmp_path / "absent.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        load(dense, path)


def test_a_damaged_plan_is_refused(path: Path):
    tensors, document = load_tensors(path)
    save_tensors(path, tensors, {**document, "plan": {**document["plan"], "schema": 1}})
    with pytest.raises(PlanError, match="schema is not 2"):
        load(dense, path)


@pytest.mark.parametrize("times", [2, 3])
def test_a_network_pruned_several_times_loads_like_any_other(times: int, tmp_path: Path):
    network: nn.Module = dense()
    for _ in range(times):
        plan = rank(network, IMAGE, ratio=0.3, align="none")
        network = rebuild(network, plan)
    path = save(copy.deepcopy(network), plan, tmp_path / "small.safetensors")
    again = load(dense, path)
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(outputs_of(again, images)[0], outputs_of(network.eval(), images)[0])
    assert again.stem.out_channels == network.stem.out_channels < 5
    # What was loaded can be pruned, saved and loaded once more.
    plan = rank(again, IMAGE, ratio=0.3, align="none")
    last = rebuild(again, plan)
    third = load(dense, save(last, plan, tmp_path / "last.safetensors"))
    assert torch.equal(outputs_of(third, images)[0], outputs_of(last, images)[0])


class Aliased(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(1, 6, 1), nn.Sequential(nn.Conv2d(6, 6, 1)), nn.Conv2d(6, 2, 1)
        self.again, self.tied = self.block, nn.Conv2d(6, 6, 1)
        self.tied.weight = self.block[0].weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.again(self.stem(x)).relu())


@pytest.mark.parametrize("name", ["block", "again", "block.0", "again.0", "tied"])
def test_a_module_answers_to_each_of_its_names(name: str):
    network = Aliased()
    for found in (None, find_groups(network, IMAGE)):
        assert list(rank(network, IMAGE, align="none", ignore=[name], groups=found).groups) == ["stem"]
        kept = rank(network, IMAGE, align="none", ratios={name: 0.2}, groups=found).kept
        assert sorted(len(units) for units in kept.values()) == [3, 5] and len(kept["stem"]) == 3
    with pytest.raises(PlanError, match="No channel group lies under 'head'"):
        rank(network, IMAGE, ratios={"head": 0.5})
