"""The gate calls a run's files as its benchmarks do, so that a page can put the two together."""

from __future__ import annotations

from pathlib import Path

from compress.config.read import from_document
from compress.rundir import quantized_files
from compress.steps.networks import display_names
from compress.steps.workspace import Workspace


def test_a_runs_own_files_have_the_names_of_its_benchmarks(tmp_path: Path) -> None:
    ws = Workspace(from_document({"train": {"paths": {"save_root": str(tmp_path)}}}))
    dense, small = ws.run.baseline, ws.run.pruned("none")
    for stage in (dense, small):
        stage.root.mkdir(parents=True)
        stage.final.touch()
        stage.onnx.touch()
    int8, _ = quantized_files(small.onnx, "int8")
    int8.touch()
    assert display_names(ws, (dense.onnx, small.onnx)) == ("dense", "pruned-none")
    assert display_names(ws, (dense.onnx, int8)) == ("dense", "pruned-none-int8")
    assert display_names(ws, (tmp_path / "a.onnx", int8)) == ("a", "pruned-none-int8")
