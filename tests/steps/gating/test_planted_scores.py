"""Stored scores of the gate are believed only when the masks beside them give them, and this user wrote the masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workspace_kit import tiny_workspace

from compress.files import write_json
from compress.runtime.segmenter import Segmenter
from compress.steps.gating.scores import Scored, score_file
from compress.steps.workspace import Workspace


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path, sealed_path: Path):
    ws = tiny_workspace(tmp_path_factory.mktemp("run"), tiny_phantom)
    model = Segmenter(sealed_path, threads=1)
    return ws, model, score_file(ws, model, ws.evaluation, name="small")


def _perfect_scores(scored: Scored) -> None:
    document = json.loads(scored.folder.scores.read_text())
    for volume in document["volumes"]:
        for score in volume["structures"].values():
            score["overlap"]["dice"] = 1.0
    write_json(scored.folder.scores, document)


def _perfect_masks(scored: Scored) -> None:
    """Masks that go with planted scores, by somebody who has not the user's secret."""
    path = scored.folder.mask(0)
    told = path.read_bytes()[-32:]
    with np.load(path) as stored:
        mask = stored["mask"]
    np.savez_compressed(path, mask=np.roll(mask, 1, axis=1))
    path.write_bytes(path.read_bytes() + told)


def _mask_of_another(scored: Scored) -> None:
    scored.folder.mask(0).write_bytes(scored.folder.mask(1).read_bytes())


@pytest.mark.parametrize("plant", [_perfect_scores, _perfect_masks, _mask_of_another])
def test_planted_scores_are_computed_again(plant: Callable[[Scored], None], first) -> None:
    ws, model, scored = first
    plant(scored)
    assert score_file(ws, model, ws.evaluation, name="small").report == scored.report
    again: Workspace = ws
    assert score_file(again, model, again.evaluation, name="small").report == scored.report
