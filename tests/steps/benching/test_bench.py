"""Which files of a run are compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from compress.errors import ModelFileError
from compress.export.seal import seal
from compress.rundir import quantized_files
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata, read_model_file
from compress.steps.benching.bench import quantized_of


@pytest.fixture
def source(sealed_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "final_model.onnx"
    path.write_bytes(sealed_path.read_bytes())
    return path


@pytest.fixture
def ws() -> Any:
    """As much of a workspace as is asked for: its warnings."""
    said: list[str] = []
    return SimpleNamespace(progress=SimpleNamespace(warn=said.append), said=said)


def _quantize(source: Path, kind: str) -> Path:
    """What `quantize` leaves as far as the card goes; the graph stays in float."""
    path, _ = quantized_files(source, kind)
    path.write_bytes(source.read_bytes())
    card = read_card(read_metadata(source), source)
    about = {"kind": kind, "source": read_model_file(source).graph_sha256, "logit_bound": 0.1}
    return seal(path, replace(card, quantization=about))


def test_quantized_files_follow_where_the_provider_gains_by_them(source: Path, ws: Any) -> None:
    assert quantized_of(ws, source, "cpu") == {}
    made = {kind: _quantize(source, kind) for kind in ("int8", "fp16")}
    assert quantized_of(ws, source, "cpu") == {"int8": made["int8"]}
    assert quantized_of(ws, source, "openvino") == {"int8": made["int8"]}
    assert quantized_of(ws, source, "cuda") == made
    assert ws.said == []


def test_files_of_an_earlier_network_are_left_out_with_a_warning(source: Path, ws: Any) -> None:
    made = _quantize(source, "int8")
    model = onnx.load(source)
    model.graph.node[0].name = "another"
    source.write_bytes(model.SerializeToString())
    assert quantized_of(ws, source, "cpu") == {}
    assert ws.said == [f"{made} is left out: it was not made of the present final_model.onnx. Quantize it again."]


def test_a_damaged_quantized_file_is_an_error(source: Path, ws: Any) -> None:
    path = _quantize(source, "int8")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="truncated"):
        quantized_of(ws, source, "cpu")
