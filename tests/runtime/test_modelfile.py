from __future__ import annotations

import gzip
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.bench.onnx_graph import load_graph
from compress.errors import ModelFileError
from compress.runtime.modelfile import read_divisor, read_metadata, read_model_file


@pytest.fixture
def external_path(tiny_model: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "outside.onnx"
    onnx.save_model(tiny_model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_metadata_is_read(tiny_path: Path) -> None:
    assert read_metadata(tiny_path) == {"divisor": "2", "labels": '{"RV": 1}'}
    assert read_model_file(tiny_path).content


@pytest.mark.parametrize("reader", [read_metadata, read_model_file])
def test_external_data_is_refused(reader, external_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"keeps 3 tensor\(s\) in other files.*save_as_external_data=False"):
        reader(external_path)


def test_external_data_inside_a_subgraph_is_refused(tmp_path: Path, tiny_model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret")
    inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
    tiny_model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    path = tmp_path / "nested.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    with pytest.raises(ModelFileError, match="in other files"):
        read_model_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am a text file\n" * 9, "not an ONNX file"),
        (bytes(9000), "not an ONNX file"),
        (gzip.compress(b"a model" * 99, mtime=0), "not an ONNX file"),
        (b'\x3e\0\0\0\0\0\0\0{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}    \0\0\0\0', "ONNX"),
        (b"\x08\x0a", "no complete ONNX graph"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_model_file(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.onnx", tmp_path):
        for reader in (load_graph, read_model_file):
            with pytest.raises(ModelFileError, match=f"Cannot read the ONNX file {path}"):
                reader(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_refused(part: float, tiny_model: onnx.ModelProto, tmp_path: Path) -> None:
    content = tiny_model.SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelFileError):
        read_model_file(path)


@pytest.mark.parametrize("text", ["0", "-16", "sixteen", "1.5", ""])
def test_a_senseless_divisor_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="a positive whole number is needed"):
        read_divisor({"divisor": text}, Path("m.onnx"))


def test_divisor_is_a_number_or_absent() -> None:
    assert read_divisor({"divisor": "16"}, Path("m.onnx")) == 16
    assert read_divisor({}, Path("m.onnx")) is None
