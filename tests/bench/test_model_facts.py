from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from compress.bench.model_facts import read_facts
from compress.errors import ModelFileError
from compress.export.quantize import quantize_fp16


def test_counts_of_a_known_network(tiny_path: Path) -> None:
    facts = read_facts(tiny_path, shape=(1, 1, 8, 12))
    assert facts.parameters == 8 * 9 + 8 * 6 * 4 + 4 * 14
    first, up, head = 96 * 8 * 9, 24 * 8 * 6 * 4, 96 * 4 * 14
    assert facts.macs == first + up + head
    assert facts.widths == {"first": 8, "up": 6, "head": 4}
    assert facts.file_bytes == tiny_path.stat().st_size
    assert facts.warnings == ()


def test_macs_are_per_image_and_grow_with_the_area(tiny_path: Path) -> None:
    one = read_facts(tiny_path, shape=(1, 1, 8, 8))
    assert read_facts(tiny_path, shape=(5, 1, 8, 8)) == one
    assert read_facts(tiny_path, shape=(1, 1, 16, 16)).macs == 4 * one.macs


def test_a_size_that_cannot_pass_is_an_error(tiny_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"does not accept an image of \(1, 1, 7, 8\)"):
        read_facts(tiny_path, shape=(1, 1, 7, 8))
    with pytest.raises(ModelFileError, match="does not accept"):
        read_facts(tiny_path, shape=(1, 3, 8, 8))


def _save(text: str, weights: dict[str, tuple[int, ...]], path: Path) -> Path:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 20]>' + text)
    for name, shape in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    path.write_bytes(model.SerializeToString())
    return path


def test_groups_and_matrix_products_are_counted(tmp_path: Path) -> None:
    text = """grouped (float[n, 4, h, w] image) => (float[n, 5] logits) {
        a = Conv <group = 4> (image, depthwise)
        b = GlobalAveragePool (a)
        c = Flatten (b)
        d = Gemm <transB = 1> (c, linear)
        logits = MatMul (d, last)
    }"""
    weights = {"depthwise": (4, 1, 3, 3), "linear": (7, 4), "last": (7, 5)}
    facts = read_facts(_save(text, weights, tmp_path / "m.onnx"), shape=(1, 4, 10, 10))
    assert facts.macs == 64 * 4 * 9 + 4 * 7 + 7 * 5
    assert facts.widths == {"depthwise": 4}


class _Reader(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.batches = iter([{"image": rng.standard_normal((1, 1, 8, 8)).astype(np.float32)} for _ in range(3)])

    def get_next(self) -> dict[str, np.ndarray]:
        return next(self.batches, None)  # pyright: ignore[reportReturnType] (None ends it)


def _biased(tiny_model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights with the exporter's names, and a bias, as exported networks have them."""
    for node in tiny_model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            (weight,) = (t for t in tiny_model.graph.initializer if t.name == node.input[1])
            channels = weight.dims[1] if node.op_type == "ConvTranspose" else weight.dims[0]
            bias = np.ones(channels, np.float32)
            tiny_model.graph.initializer.append(numpy_helper.from_array(bias, f"{weight.name}.bias"))
            weight.name = node.input[1] = f"{weight.name}.weight"
            node.input.append(weight.name.replace(".weight", ".bias"))
    return tiny_model


@pytest.mark.parametrize("operators", [None, ["Conv"]])
@pytest.mark.parametrize("pairs", [False, True])
def test_a_quantized_file_counts_as_its_original(
    operators: list[str] | None, pairs: bool, tiny_model: onnx.ModelProto, tmp_path: Path
) -> None:
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    plain.write_bytes(_biased(tiny_model).SerializeToString())
    quantize_static(
        plain,
        small,
        _Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=operators,
        extra_options={"AddQDQPairToWeight": pairs},
    )
    stored = {t.data_type for t in onnx.load(small).graph.initializer}
    assert pairs or {onnx.TensorProto.INT8, onnx.TensorProto.INT32} <= stored
    ours, theirs = (read_facts(path, shape=(1, 1, 8, 12)) for path in (plain, small))
    assert ours.widths == {"first": 8, "up": 6, "head": 4}
    assert ours.parameters == 8 * 9 + 8 * 6 * 4 + 4 * 14 + 8 + 6 + 4
    assert dataclasses.replace(theirs, file_bytes=ours.file_bytes) == ours


def test_a_float16_file_counts_as_its_original(tiny_model: onnx.ModelProto, tmp_path: Path) -> None:
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    plain.write_bytes(tiny_model.SerializeToString())
    quantize_fp16(plain, small)
    assert {t.data_type for t in onnx.load(small).graph.initializer} == {onnx.TensorProto.FLOAT16}
    ours, theirs = (read_facts(path, shape=(1, 1, 8, 12)) for path in (plain, small))
    assert dataclasses.replace(theirs, file_bytes=ours.file_bytes) == ours


def test_nodes_in_a_circle_are_an_error(tiny_model: onnx.ModelProto, tmp_path: Path) -> None:
    tiny_model.graph.node[1].input[0] = "e"
    path = tmp_path / "circle.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    with pytest.raises(ModelFileError, match="does not accept an image"):
        read_facts(path, shape=(1, 1, 8, 8))


def test_whole_number_tables_are_no_parameters(tmp_path: Path, tiny_model: onnx.ModelProto) -> None:
    tiny_model.graph.initializer.append(numpy_helper.from_array(np.zeros(100, np.int64), "table"))
    path = tmp_path / "t.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    assert read_facts(path, shape=(1, 1, 8, 8)).parameters == 8 * 9 + 8 * 6 * 4 + 4 * 14


def test_operators_that_are_not_counted_are_named(tmp_path: Path) -> None:
    text = """e (float[n, 1, h, w] image) => (float[n, 1, h, w] logits) {
        logits = Einsum <equation = "nchw,nchw->nchw"> (image, image)
    }"""
    facts = read_facts(_save(text, {}, tmp_path / "e.onnx"), shape=(1, 1, 8, 8))
    assert facts.warnings == ("MACs leave out the operators Einsum.",)
