"""benchmarks/peers.py: real worker processes on the tiny model; nobody looks at their times."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from compress.data.volume import ACDC_LABELS
from compress.models.build import build
from compress.models.checkpoint import Meta, save
from compress.models.unet import dense_widths

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import peers  # pyright: ignore[reportMissingImports]
import peers_worker  # pyright: ignore[reportMissingImports]
from peers import Row  # pyright: ignore[reportMissingImports]

SHAPE = (1, 1, 8, 8)


def _measure(*rows: Row):
    return peers.measure(rows, shape=SHAPE, threads=1, rounds=2, warmup=1)


@pytest.mark.skipif(find_spec("openvino") is not None, reason="OpenVINO is installed")
def test_every_row_is_timed_or_says_why_not(tiny_path: Path) -> None:
    rows = [Row("dense", "ONNX Runtime", tiny_path), Row("again", "ONNX Runtime", tiny_path)]
    rows.append(Row("dense", "OpenVINO", tiny_path))
    found = _measure(*rows)
    assert {name: len(series) for name, series in found.latency.samples.items()} == {
        "dense, ONNX Runtime": 2,
        "again, ONNX Runtime": 2,
    }
    assert all(seconds > 0 for seconds in found.latency.control)
    assert found.absent == {"dense, OpenVINO": "the package openvino is not installed"}
    lines = peers.table(rows, found)
    assert lines[2].startswith("| dense | ONNX Runtime | ") and " | 1 | 0.00 | " in lines[2]
    assert lines[4] == "| dense | OpenVINO | not measured: the package openvino is not installed |  | 0.00 |  |"
    assert any(line.startswith("A/A control (dense, ONNX Runtime against itself): ") for line in lines)


@pytest.mark.parametrize("engine", ["torch", "torch, channels_last"])
def test_torch_computes_the_network_of_the_checkpoint(engine: str, tmp_path: Path) -> None:
    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths([4, 8])}
    network = build("unet", arguments).eval()
    path = tmp_path / "dense.safetensors"
    save(path, network, Meta("unet", arguments, dict(ACDC_LABELS), {}, phantom=True))
    images = np.random.default_rng(0).standard_normal((2, 1, 16, 16)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    run = peers_worker.ENGINES[engine](path, torch.get_num_threads())
    np.testing.assert_allclose(run(images), expected, atol=1e-5)


def test_another_network_under_the_same_name_is_refused(
    tiny_path: Path, tiny_model: onnx.ModelProto, tmp_path: Path
) -> None:
    (head,) = (t for t in tiny_model.graph.initializer if t.name == "head")
    head.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(head), "head"))
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_model.SerializeToString())
    with pytest.raises(SystemExit, match="dense, ONNX Runtime computes another network"):
        _measure(Row("dense", "ONNX Runtime", tiny_path), Row("dense", "ONNX Runtime", other))


def test_no_library_gets_more_threads_or_waits_actively(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    found = peers.environment(3)
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
