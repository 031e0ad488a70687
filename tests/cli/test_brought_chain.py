"""A network that was trained elsewhere, from its files to a gated bundle, as its owner types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import monai.networks.nets as nets
import pytest
import torch
import yaml
from cli_kit import settings
from torch import nn

from compress.config.read import from_document
from compress.data.dataset import SliceDataset, epoch_loader
from compress.models.checkpoint import load
from compress.steps.workspace import Workspace
from compress.train.losses import build_loss

ENDS = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1},
    "BasicUNet": {"features": [8, 8, 16, 16, 32, 8]},
}
EPOCHS = {"UNet": (10, 4), "BasicUNet": (30, 20)}
"""Of the training elsewhere, and of the retraining."""
RULES = {"spacing_mm": [6.0, 6.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]}
LABELS = {"RV": 1, "MYO": 2, "LV": 3}
SETTINGS = (
    "train.val_ratio=0.5",
    "train.parameters.learning_rate=0.005",
    "gate.min_patients=6",
    "gate.resamples=1000",
    "gate.margins={dice: 0.2, hd95_mm: 10.0, volume_ml: 15.0, ef_points: 10.0, mass_g: 10.0}",
    "gate.limits={structure_dice: 0.2, group_dice: 0.2, patient_dice: 0.3, patient_volume_ml: 80.0, "
    "patient_ef_points: 30.0, patient_mass_g: 50.0}",
)
"""Hearts of a few coarse pixels: one of them more or less is much."""
DENSE = "artifacts/cardiac/baseline/final_model.onnx"
SMALL = "artifacts/cardiac/pruned/keep/pruned_model.onnx"


@pytest.fixture(scope="session")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_hearts import write_hearts

    return write_hearts(tmp_path_factory.mktemp("hearts"), patients=12)


def taught(network: nn.Module, ws: Workspace, *, epochs: int) -> dict[str, torch.Tensor]:
    """The weights after a short training elsewhere, on the training patients alone."""
    slices = SliceDataset(ws.prepared(ws.cases_of(ws.split.train)), strength=0.0, seed=0)
    adam, loss = torch.optim.Adam(network.parameters(), lr=0.005), build_loss("ce_dice")
    network.train()
    for epoch in range(1, epochs + 1):
        for batch in epoch_loader(slices, batch_size=8, epoch=epoch):
            adam.zero_grad()
            loss(network(batch.images), batch.labels).backward()
            adam.step()
    return network.eval().state_dict()


def elsewhere(root: Path, data: Path) -> Workspace:
    """Where the training elsewhere finds the images and the same split."""
    paths = {"train_dir": str(data), "save_root": str(root)}
    document = {"experiment": {"device": "cpu"}, "data": {"size": [32, 32], "spacing_mm": [6.0, 6.0]}}
    return Workspace(from_document({**document, "train": {"val_ratio": 0.5, "paths": paths}}))


def chain(command, *steps: tuple[object, ...]) -> None:
    for step in steps:
        done = command(*step, *settings(*SETTINGS))
        assert done.code == 0, f"{step}: {done.err[-800:]}"


def shipped(command, *options: str) -> dict[str, Any]:
    """Judge, ship and verify; returns the verdict."""
    chain(command, ("gate", DENSE, SMALL), ("ship", SMALL, "--out", "bundle", *options))
    found = command("verify", "bundle", "--threads", 1)
    assert found.code == 0 and "NOT GATED" not in found.err, found
    return json.loads(Path("bundle/evidence/verdict.json").read_text())


def sizes() -> list[int]:
    stages = ("baseline/final_model", "pruned/keep/pruned_model")
    networks = [load(Path(f"artifacts/cardiac/{stage}.safetensors")).network for stage in stages]
    return [sum(p.numel() for p in network.parameters()) for network in networks]


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("name", ["UNet", pytest.param("BasicUNet", marks=pytest.mark.long)])
def test_a_network_of_monai_s_is_shipped_with_a_verdict(name: str, hearts: Path, tmp_path: Path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    arguments, (before, after) = {**ENDS, **NETWORKS[name]}, EPOCHS[name]
    weights = taught(getattr(nets, name)(**arguments), elsewhere(tmp_path / "elsewhere", hearts), epochs=before)
    torch.save(weights, "weights.pth")
    Path("it.yaml").write_text(yaml.safe_dump({"preprocessing": RULES, "labels": LABELS, "network": arguments}))
    brought = ("import-torch", f"monai.networks.nets:{name}", "weights.pth", "--preprocessing", "it.yaml")
    chain(
        command,
        (*brought, "--data", hearts),
        ("prune", "--finetune", "none"),
        ("finetune", "--epochs", after),
        ("export",),
    )
    verdict = shipped(command, "--web")
    assert verdict["accepted"] and verdict["phantom"] and Path("bundle/segment.html").is_file()
    dense, small = sizes()
    assert small < 0.6 * dense
