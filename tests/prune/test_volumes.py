"""nnU-Net's networks in three dimensions: pruned, stored and exported as those of slices are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pruning_kit import largest_difference, onnx_difference, outputs_of, silenced, train_one_step
from zoo import VOLUMES, image

from compress.models.cost import count_parameters
from compress.prune import load, rank, rebuild, save


@pytest.mark.filterwarnings("ignore")  # those of torch.onnx
@pytest.mark.parametrize("name", VOLUMES)
def test_a_network_of_volumes_is_pruned_stored_and_exported(name: str, tmp_path: Path):
    entry = VOLUMES[name]
    if entry.missing:
        pytest.skip(entry.missing)
    dense, images = entry.build().eval(), image(entry, batch=2)
    plan = rank(dense, image(entry), ratio=0.5, criterion="bn-scale", align="none")
    small = rebuild(dense, plan).eval()
    assert count_parameters(small) < 0.4 * count_parameters(dense)
    assert largest_difference(small, silenced(dense, plan), images) <= 1e-4
    assert largest_difference(small, dense, images) > 0.01, "the oracle is no tautology"
    again = load(entry.build, save(small, plan, tmp_path / "small.safetensors"))
    assert all(map(torch.equal, outputs_of(again, images), outputs_of(small, images)))
    assert onnx_difference(small, images, tmp_path / "small.onnx") <= 1e-3
    train_one_step(small, images)
