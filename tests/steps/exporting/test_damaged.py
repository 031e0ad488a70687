"""The network that the demo damages on purpose: blind for one structure, otherwise its source, and telling so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from workspace_kit import tiny_workspace

from compress.errors import CheckpointError
from compress.files import digest_file
from compress.models.checkpoint import load, save
from compress.rundir import Stage
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata
from compress.runtime.session import open_session
from compress.steps.exporting.damaged import export_damaged
from compress.steps.networks import display_names
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace


@pytest.fixture
def place(tiny_phantom: Path, tmp_path: Path) -> tuple[Workspace, Stage]:
    """A workspace and a stage with a tiny network that answers every structure somewhere."""
    ws = tiny_workspace(tmp_path, tiny_phantom)
    stage, dense = ws.run.pruned("small"), dense_checkpoint(ws)
    nn.init.zeros_(dense.network.head.bias)  # pyright: ignore
    save(stage.final, dense.network, dense.meta)
    return ws, stage


def test_the_damaged_network_never_answers_the_structure_and_changes_nothing_else(place: tuple[Workspace, Stage]):
    ws, source = place
    before = digest_file(source.final)
    damaged = export_damaged(ws, source, structure="RV")
    assert digest_file(source.final) == before
    images = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    logits, rv = open_session(damaged.onnx).run(images), ws.labels["RV"]
    assert (logits.argmax(1) != rv).all()
    whole = load(source.final)
    expected = whole.network(torch.from_numpy(images)).detach().numpy()
    others = [label for label in range(4) if label != rv]
    np.testing.assert_allclose(logits[:, others], expected[:, others], atol=1e-4)
    assert (expected.argmax(1) == rv).any(), "the source answers it"


def test_the_file_says_what_was_done_to_it(place: tuple[Workspace, Stage]):
    ws, source = place
    damaged = export_damaged(ws, source)
    card = read_card(read_metadata(damaged.onnx), damaged.onnx)
    assert card.provenance["stage"] == "damaged on purpose"
    assert card.provenance["parent"] == load(source.final).meta.digest
    assert display_names(ws, (source.onnx, damaged.onnx))[1] == "rv-removed-on-purpose"
    assert [stage.root for stage in ws.run.pruned_stages()] == [source.root], "no row of the tables"


def test_a_structure_that_the_network_does_not_know_is_refused(place: tuple[Workspace, Stage]):
    ws, source = place
    with pytest.raises(CheckpointError, match="no last layer that answers aorta; it knows LV, MYO, RV"):
        export_damaged(ws, source, structure="aorta")
    assert not ws.run.damaged.root.exists()
