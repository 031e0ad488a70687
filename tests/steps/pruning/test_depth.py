"""Depth goes before widths do, and the whole chain knows: rounds, rewinding, compensation, teacher, export, bench."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspace_kit import tiny_workspace

from compress.config import Init, Pruning, Ratios
from compress.config.read import load_ratios
from compress.errors import ConfigError, PlanError
from compress.models.checkpoint import load, save
from compress.runtime.segmenter import Segmenter
from compress.steps.exporting.export import export_stage
from compress.steps.pruning.depth import restructured
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace

MOVES = Ratios(
    default=0.5,
    block_ratios={"bottleneck": 0.75},
    align="none",
    single=("encoders.1", "decoders.1"),
    space_to_depth=True,
)
SHAPE = {
    "encoders.0": [0, 0],
    "encoders.1": [0, 3],
    "bottleneck": [3, 3],
    "decoders.0": [3],
    "decoders.1": [0, 3],
    "decoders.2": [0],
    "decoders.3": [0, 0],
}


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path) -> Workspace:
    made = tiny_workspace(tmp_path_factory.mktemp("depth"), tiny_phantom, features=(4, 6))
    dense = dense_checkpoint(made)
    save(made.run.baseline.early, dense.network, dense.meta)
    wanted = Pruning(ratios=MOVES, rounds=2, finetune_epochs=2, compensate=True)
    prune_and_retrain(made, wanted)
    return made


def test_files_say_what_is_gone(ws: Workspace):
    stage, dense = ws.run.pruned("keep"), dense_checkpoint(ws)
    final = load(stage.final)
    assert final.meta.arguments["widths"] == SHAPE
    assert final.meta.plan is not None
    assert (final.meta.plan["single"], final.meta.plan["space_to_depth"]) == (["decoders.1", "encoders.1"], True)
    facts, masks = (json.loads(path.read_text()) for path in (stage.meta, stage.masks))
    gone = ["encoders.0.conv1", "encoders.0", "encoders.1.conv1", "decoders.1.conv1", "decoders.2", "decoders.3.conv1"]
    assert set(facts["removed"]) == {*gone, "decoders.3"}
    assert facts["dense"]["widths"] == dense.meta.arguments["widths"] and facts["source"] == dense.meta.digest
    assert all(masks[name] == [False] * 4 for name in ("encoders.0", "decoders.2", "decoders.3.conv1"))
    assert masks["encoders.1.conv1"] == [False] * 6 and sum(masks["encoders.1"]) == 3
    widths = {name: len(mask) for name, mask in masks.items()}
    whole = dense.meta.arguments["widths"]
    named = {f"{b}.conv1": w[0] for b, w in whole.items() if len(w) == 2} | {b: w[-1] for b, w in whole.items()}
    assert widths == named, "a mask for every convolution of the dense network"


def test_it_exports_and_segments(ws: Workspace, tmp_path: Path):
    stage = ws.run.pruned("keep")
    assert export_stage(ws, stage).ok
    assert Segmenter(stage.onnx).card.multiple_of == 4


@pytest.mark.parametrize("start", ["rewind", "random"])
def test_other_starts_have_the_same_shape(ws: Workspace, start: Init):
    found = prune_and_retrain(ws, Pruning(ratios=MOVES, finetune_epochs=0, reinitialize_weights=start))
    assert found.final.meta.arguments["widths"] == SHAPE


def test_it_is_made_once(ws: Workspace):
    dense, folder = dense_checkpoint(ws), ws.run.restructured("x").parent
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    first = restructured(ws, dense, MOVES)
    assert first.meta.digest == restructured(ws, dense, MOVES.model_copy(update={"default": 0.1})).meta.digest
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert restructured(ws, dense, Ratios()) is dense
    (path,) = [path for path in folder.iterdir() if load(path).meta.digest == first.meta.digest]
    path.write_bytes(path.read_bytes()[:-4])
    assert restructured(ws, dense, MOVES).meta.digest == first.meta.digest, "what is damaged is made again"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("single: [decoders.0]", ["single: decoders.0 is no double convolution. Did you mean"]),
        ("single: [bottlneck, encoders.9]", ["Did you mean 'bottleneck'?", "encoders.9 is no double"]),
        ("space_to_depth: true\nsingle: [encoders.0]", ["single: encoders.0 is gone with space_to_depth"]),
        ("space_to_depth: true\ndecoders.3: 0.5\n", ["block_ratios.decoders.3: gone with space_to_depth"]),
        ("space_to_depth: true\nblock_ratios: {encoders.0.conv1: 0.5}", ["encoders.0.conv1: gone with space"]),
        (
            "single: [bottleneck]\nbottleneck.conv1: 0.5",
            ["block_ratios.bottleneck.conv1: gone, its block is in single"],
        ),
        ("space_to_depth: yes please", ["space_to_depth"]),
        ("singel: [bottleneck]", ["singel", "single"]),
    ],
)
def test_faults_in_a_file_of_ratios_are_named(tmp_path: Path, text: str, words: list[str]):
    path = tmp_path / "ratios.yaml"
    path.write_text(text)
    with pytest.raises(PlanError) as fault:
        load_ratios(path, levels=2)
    assert all(word in str(fault.value) for word in words)


def test_a_network_of_another_depth_is_refused(ws: Workspace):
    with pytest.raises(ConfigError, match=r"encoders\.2 cannot become a single convolution"):
        restructured(ws, dense_checkpoint(ws), Ratios(single=("encoders.2",)))
