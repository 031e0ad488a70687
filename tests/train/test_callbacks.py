"""Checkpoints, the metrics file and loggers of a training run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_kit import recipe, trainer, training_data

from compress.config import PATH_KEYS
from compress.config.read import from_document
from compress.data.volume import ACDC_LABELS
from compress.errors import ConfigError, EnvironmentFault
from compress.models.checkpoint import Meta, load, load_tensors
from compress.models.unet import dense_widths
from compress.rundir import Stage
from compress.train.callbacks import Checkpoints, MetricsFile, build_logger, read_metrics
from compress.train.loop import fit

META = Meta(
    "unet", {"in_channels": 1, "out_channels": 4, "widths": dense_widths([4, 8])}, ACDC_LABELS, {}, parent="start"
)


def numbers(dice: float, epoch: int = 1) -> dict[str, Any]:
    return {"epoch": epoch, "train_loss": 0.5, "val_dice": dice}


def test_early_periodic_best_and_resume_files_exist_and_load(tmp_path: Path):
    stage = Stage(tmp_path, "final.safetensors")
    running = trainer(recipe(epochs=5, augmentation=0.0))
    seen: dict[int, dict[str, torch.Tensor]] = {}
    dices: list[float] = []

    def remember(now: Any, record: dict[str, Any]) -> None:
        seen[now.epoch] = {name: tensor.clone() for name, tensor in now.network.state_dict().items()}
        dices.append(record["val_dice"])

    keeper = Checkpoints(stage, META, save_interval=2, early_epoch=1)
    fit(running, training_data(running.recipe), callbacks=[remember, keeper])

    best = 1 + max(range(5), key=lambda i: dices[i])
    expected = {stage.early: 1, stage.epoch(2): 2, stage.epoch(4): 4, stage.best: best}
    assert {p for p in (tmp_path / "checkpoints").iterdir()} == {*expected, stage.resume}
    for path, epoch in expected.items():
        loaded = load(path)
        assert loaded.meta.epoch == epoch
        assert loaded.meta.stage == ("early" if path == stage.early else "dense")
        assert all(torch.equal(t, seen[epoch][name]) for name, t in loaded.network.state_dict().items())
    assert load_tensors(stage.resume)[1]["extra"] == {"best": max(dices), "start": "start"}
    again = trainer(running.recipe, seed=3)
    again.restore(stage.resume)
    assert again.epoch == 5


def test_best_only_changes_for_the_better(tmp_path: Path):
    stage = Stage(tmp_path, "final.safetensors")
    running, keeper = trainer(), Checkpoints(Stage(tmp_path, "f"), META, save_interval=9, early_epoch=9)
    for epoch, dice in enumerate([0.3, 0.7, 0.7, 0.5], start=1):
        running.epoch = epoch
        keeper(running, numbers(dice, epoch))
    assert keeper.best == 0.7
    assert load(stage.best).meta.epoch == 2
    assert not stage.early.exists()


def test_metrics_are_one_line_per_epoch_and_resume_drops_the_rest(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsFile(path, from_epoch=0)
    for epoch in (1, 2, 3):
        log(trainer(), numbers(0.1 * epoch, epoch))
    assert len(path.read_text().splitlines()) == 3
    resumed = MetricsFile(path, from_epoch=2)
    resumed(trainer(), numbers(0.9, 3))
    assert [json.loads(line)["val_dice"] for line in path.read_text().splitlines()] == [0.1, 0.2, 0.9]
    assert read_metrics(path) == resumed.records
    assert read_metrics(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize(("kind", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_logger_says_what_to_install(kind: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFault, match=rf"asks for {kind}, which is not installed\. "):
        build_logger(kind, folder=tmp_path, name="run", config={})


def test_unknown_loggers_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"Unknown logger 'mlflow'\. Known: tensorboard, wandb\."):
        build_logger("mlflow", folder=tmp_path, name="run", config={})


def test_loggers_receive_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[tuple[Any, ...]] = []
    finished: list[bool] = []
    run = SimpleNamespace(log=lambda values, step: written.append((step, values)), finish=lambda: finished.append(True))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    writer = SimpleNamespace(add_scalar=lambda key, value, step: written.append((step, key, value)), flush=lambda: None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=lambda _: writer))

    running = trainer()
    log_wandb = build_logger("wandb", folder=tmp_path, name="run", config={})
    log_board = build_logger("tensorboard", folder=tmp_path, name="run", config={})
    running.epoch = 3
    log_wandb(running, numbers(0.25, 3))
    assert written == [(3, {"train_loss": 0.5, "val_dice": 0.25})]
    assert not finished
    running.epoch = 4
    log_wandb(running, numbers(0.5, 4))
    assert finished == [True]
    written.clear()
    log_board(running, numbers(0.5, 4))
    assert written == [(4, "run/train_loss", 0.5), (4, "run/val_dice", 0.5)]


def test_weights_and_biases_is_sent_no_path():
    words = ("erika", "acdc", "artifacts")
    config = from_document(
        {
            "train": {"paths": {"train_dir": "/home/erika/acdc", "label_dir": "/home/erika/l"}},
            "evaluation": {"paths": {"eval_dir": "/home/erika/e", "save_root": "/home/erika/s"}},
            "data": {"cache_dir": "/home/erika/My Patients/cache"},
        }
    )
    sent = json.dumps(config.without_paths())
    assert not any(word in sent for word in words) and '"batch_size"' in sent
    names = {name for name in re.findall(r'"(\w+)": (?:null|"[^"]*")', json.dumps(config.to_json()))}
    paths = {name for name in names if name.endswith(("_dir", "_root", "checkpoint"))}
    assert paths <= set(PATH_KEYS), "a new key that holds a path belongs to PATH_KEYS"
