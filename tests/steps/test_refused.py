"""A command that is refused leaves every file of the run folder as it was, config.yaml and split.json included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from workspace_kit import tiny_workspace

from compress.config import Cycle
from compress.config.read import from_document
from compress.errors import CardioCompressError, ConfigError, PlanError
from compress.files import write_json
from compress.models.checkpoint import Checkpoint, load, save
from compress.rundir import Stage
from compress.steps.pruning.prune import finetune, prune_and_retrain
from compress.steps.training.dense import dense_checkpoint, train_dense
from compress.steps.training.network import build_recipe
from compress.steps.training.request import Policy
from compress.steps.workspace import Workspace
from compress.train.trainer import Trainer

RESUME, REPLACE = Policy(unfinished="resume"), Policy(finished="replace")
OTHER = {"recipe": {"epochs": 99}}
"""What another training was made from."""


@pytest.fixture
def ws(tmp_path: Path, tiny_phantom: Path) -> Workspace:
    made = tiny_workspace(tmp_path, tiny_phantom, "pruning.ratios.align=none", "train.parameters.num_epochs=2")
    made.describe("pruning")
    return made


def changed(ws: Workspace, *settings: str) -> Workspace:
    return Workspace(from_document(ws.config.to_json(), settings))


def finished_otherwise(stage: Stage) -> None:
    write_json(stage.record, {"inputs": OTHER, "epochs": 99, "seconds": 1.0})


def begun(ws: Workspace, stage: Stage, checkpoint: Checkpoint, *, epochs: int = 99) -> None:
    """A training of so many epochs that was stopped."""
    recipe = build_recipe(ws, epochs=epochs, seed=ws.config.experiment.seed)
    trainer = Trainer(checkpoint.network, recipe, steps_per_epoch=2, device=torch.device("cpu"))
    stage.resume.parent.mkdir(parents=True, exist_ok=True)
    trainer.save(stage.resume, extra={"start": "", "best": 0.0})


def check(ws: Workspace, call: Callable[[], object], kind: type[CardioCompressError], text: str) -> None:
    before = {path: path.read_bytes() for path in ws.run.root.rglob("*") if path.is_file()}
    with pytest.raises(kind, match=text):
        call()
    assert {path: path.read_bytes() for path in ws.run.root.rglob("*") if path.is_file()} == before


def test_train_extend_of_a_network_with_other_inputs(ws: Workspace):
    finished_otherwise(ws.run.baseline)
    added = Cycle(epochs=15, learning_rate=None)
    check(ws, lambda: train_dense(ws, policy=Policy(), extend=added), ConfigError, "other settings or data")


def test_train_on_another_split(ws: Workspace):
    finished_otherwise(ws.run.baseline)
    other = changed(ws, "train.val_ratio=0.6")
    assert other.split != ws.split
    check(ws, lambda: train_dense(other, policy=Policy()), ConfigError, "other settings or data")


def test_train_resume_by_another_recipe(ws: Workspace):
    begun(ws, ws.run.baseline, dense_checkpoint(ws))
    check(ws, lambda: train_dense(ws, policy=RESUME), CardioCompressError, "epochs 99 then, 2 now")


def test_train_restart_from_weights_that_are_none(ws: Workspace, tmp_path: Path):
    (tmp_path / "none.safetensors").write_bytes(b"none")
    other = changed(ws, f"train.start.checkpoint={tmp_path / 'none.safetensors'}")
    check(ws, lambda: train_dense(other, policy=Policy("restart", "replace", force=True)), CardioCompressError, "none")


@pytest.mark.parametrize("unfinished", [False, True])
def test_finetune(ws: Workspace, unfinished: bool):
    stage, dense = ws.run.pruned("keep"), dense_checkpoint(ws)
    save(stage.start, dense.network, replace(dense.meta, stage="pruned"))
    begun(ws, stage, dense) if unfinished else finished_otherwise(stage)
    text = "unfinished run" if unfinished else "other settings or data"
    check(ws, lambda: finetune(changed(ws, "pruning.distill=0.3"), stage, policy=Policy()), ConfigError, text)


@pytest.mark.parametrize("rounds", [1, 2])
def test_prune_beside_an_unfinished_round(ws: Workspace, rounds: int):
    wanted = changed(ws, f"pruning.rounds={rounds}", "pruning.method=l1")
    stage = ws.run.pruned("keep")
    begun(ws, stage if rounds == 1 else stage.round(1), dense_checkpoint(ws))
    ask = wanted.config.pruning
    check(ws, lambda: prune_and_retrain(wanted, ask, policy=REPLACE), ConfigError, "unfinished retraining")
    resumed = replace(REPLACE, unfinished="resume")
    epochs = f"epochs 99 then, {2 // rounds} now"
    check(ws, lambda: prune_and_retrain(wanted, ask, policy=resumed), CardioCompressError, epochs)


def test_prune_by_ratios_of_a_block_that_is_not_there(ws: Workspace):
    dense = load(ws.run.baseline.final)
    wanted = changed(ws, "pruning.method=l1").config.pruning
    ratios = wanted.ratios.model_copy(update={"block_ratios": {"decoders.77": 0.5}})
    assert "decoders.77" not in dict(dense.network.named_modules())
    check(ws, lambda: prune_and_retrain(ws, wanted.but(ratios=ratios)), PlanError, r"decoders\.77")
