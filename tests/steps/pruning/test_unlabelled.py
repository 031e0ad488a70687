"""Cines without masks as further images to learn the teacher's answers from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nifti_kit import raw_file
from workspace_kit import tiny_workspace

from compress.config import Pruning
from compress.data.dataset import UNLABELLED, Batch, SliceDataset
from compress.data.phantom_marker import MARKER
from compress.data.prepared import Prepared
from compress.errors import ConfigError, DataError
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.pruning.unlabelled import find_unlabelled
from compress.steps.training.network import build_recipe
from compress.steps.workspace import Workspace
from compress.train import loop
from compress.train.distill import soft_loss
from compress.train.trainer import Trainer

SLICES, FRAMES = 3, 7


def write_cine(path: Path) -> Path:
    """Every frame is another stack of noise."""
    frames = np.random.default_rng(len(path.name)).normal(100, 20, (FRAMES, SLICES, 40, 40)).astype(np.float32)
    return raw_file(path, frames, pixdim=[1, 3, 3, 8, 0.04, 0, 0, 0])


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path) -> Workspace:
    return tiny_workspace(tmp_path_factory.mktemp("unlabelled"), tiny_phantom, features=(4, 6))


@pytest.fixture
def cines(tmp_path: Path, ws: Workspace) -> Path:
    """One of a patient to train on, one of a stranger and one of a patient to validate on, beside their folders."""
    for patient in (ws.split.train[0], "stranger", ws.split.val[0]):
        write_cine(tmp_path / "cines" / patient / f"{patient}_4d.nii.gz")
    (tmp_path / "cines" / MARKER).touch()
    for folder in (tmp_path / "cines").iterdir():
        if folder.is_dir():
            (folder / MARKER).touch()
    return tmp_path / "cines"


def test_frames_are_spread_and_judged_patients_left_out(ws: Workspace, cines: Path):
    found = find_unlabelled(ws, str(cines), frames=3)
    assert [source.study for source in found.sources] == [f"{ws.split.train[0]}_4d", "stranger_4d"]
    images = found.images(ws.progress)
    assert images.shape == (2 * 3 * SLICES, 32, 32) and images.dtype == np.float32
    assert find_unlabelled(ws, str(cines), frames=99).images(ws.progress).shape[0] == 2 * FRAMES * SLICES


def test_the_student_sees_them_and_the_record_names_them(ws: Workspace, cines: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    loader = loop.epoch_loader
    monkeypatch.setattr(loop, "epoch_loader", lambda data, **how: seen.append(len(data)) or loader(data, **how))
    settings = {"finetune_epochs": 1, "distill": 0.5, "distill_unlabelled": str(cines), "distill_frames": 2}
    prune_and_retrain(ws, Pruning(name="more", **settings))
    prune_and_retrain(ws, Pruning(name="plain", finetune_epochs=1, distill=0.5))
    more, plain = seen
    assert more - plain == 2 * 2 * SLICES
    recipe = json.loads(ws.run.pruned("more").record.read_text())["inputs"]["recipe"]
    assert recipe["unlabelled"] == find_unlabelled(ws, str(cines), 2).digest
    assert "unlabelled" not in json.loads(ws.run.pruned("plain").record.read_text())["inputs"]["recipe"]


@pytest.mark.parametrize("known", [0, 2, 3])
def test_labels_are_asked_of_labelled_slices_alone(ws: Workspace, known: int):
    recipe = replace(build_recipe(ws, epochs=1), distill=0.5)
    trainer = Trainer(torch.nn.Conv2d(1, 4, 1), recipe, steps_per_epoch=1, device=torch.device("cpu"))
    torch.manual_seed(0)
    logits, answers = torch.randn(3, 4, 8, 8), torch.softmax(torch.randn(3, 4, 8, 8), 1)
    labels = torch.randint(0, 4, (3, 8, 8))
    labels[known:] = UNLABELLED
    whole = trainer._loss(logits, Batch(logits[:, :1], labels, answers))
    soft = 0.5 * soft_loss(logits, answers, temperature=2.0)
    hard = 0.5 * trainer.loss(logits[:known], labels[:known]) if known else torch.tensor(0.0)
    assert whole == pytest.approx(float(hard + soft), rel=1e-6)


def test_augmentation_leaves_a_slice_without_a_mask_without_one():
    volume = Prepared(np.zeros((1, 16, 16), np.float32), np.zeros((1, 16, 16), np.uint8), geometry=None)  # pyright: ignore
    slices = SliceDataset([volume], strength=1.0, seed=0)
    slices.answers = np.full((1, 4, 16, 16), 0.25, np.float16)
    slices.add_unlabelled(np.ones((1, 16, 16), np.float32), slices.answers)
    for epoch in range(1, 9):
        slices.set_epoch(epoch)
        assert (slices[1][1] == UNLABELLED).all() and (slices[0][1] == 0).all()


def test_what_cannot_be_learnt_from_is_refused(ws: Workspace, cines: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="needs a teacher"):
        prune_and_retrain(ws, Pruning(name="none", finetune_epochs=1, distill_unlabelled=str(cines)))
    shutil.rmtree(cines / "stranger")
    shutil.rmtree(cines / ws.split.train[0])
    with pytest.raises(DataError, match="no image of another patient"):
        find_unlabelled(ws, str(cines), 1)
    write_cine(tmp_path / "real" / "p" / "p_4d.nii.gz")
    with pytest.raises(ConfigError, match="not of one kind"):
        find_unlabelled(ws, str(tmp_path / "real"), 1)
    with pytest.raises(DataError, match="does not exist"):
        find_unlabelled(ws, str(tmp_path / "nowhere"), 1)
