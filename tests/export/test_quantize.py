"""INT8 and FP16 files: what is computed on whole numbers, what stays in float, and the same bytes every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from compress.choices import CALIBRATION_METHODS
from compress.errors import ConfigError, ModelFileError
from compress.export.quantize import (
    WITH_TRANSPOSED,
    Calibration,
    calibrate,
    convolutions,
    prepare_int8,
    quantize_fp16,
    quantize_int8,
)
from compress.runtime.session import open_session

LAYERS = ["encoders.0.conv1", "encoders.0.conv2", "encoders.1.conv1", "encoders.1.conv2", "bottleneck.conv1"]
LAYERS += ["bottleneck.conv2", "decoders.0", "decoders.1.conv1", "decoders.1.conv2"]
LAYERS += ["decoders.2", "decoders.3.conv1", "decoders.3.conv2", "head"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 1, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module", params=list(CALIBRATION_METHODS))
def calibration(
    request: pytest.FixtureRequest, sealed_path: Path, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Calibration:
    folder = tmp_path_factory.mktemp(request.param)
    return calibrate(prepare_int8(sealed_path, folder / "prepared.onnx"), images, method=request.param, folder=folder)


def whole_number_weights(path: Path) -> dict[str, np.ndarray]:
    model = onnx.load(path)
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith(".weight_quantized")}


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    return np.concatenate([open_session(path, threads=1).run(image[None]) for image in images])


def test_layers_are_named_as_in_the_network(sealed_path):
    assert convolutions(sealed_path) == LAYERS


def test_every_convolution_is_on_seven_bit_weights_the_transposed_ones_too(calibration, tmp_path):
    path = quantize_int8(calibration, tmp_path / "int8.onnx")
    weights = whole_number_weights(path)
    assert sorted(weights) == sorted(f"{name}.weight_quantized" for name in LAYERS)
    assert all(w.dtype == np.int8 and np.abs(w.astype(int)).max() <= 64 for w in weights.values())
    assert weights["decoders.0.weight_quantized"].shape[2:] == (1, 1)


def test_transposed_convolutions_stay_as_they_are_for_providers_that_compute_them(sealed_path, images, tmp_path):
    prepared = prepare_int8(sealed_path, tmp_path / "prepared.onnx", spread=False)
    ranges = calibrate(prepared, images, method="minmax", folder=tmp_path)
    path = quantize_int8(ranges, tmp_path / "int8.onnx", operators=WITH_TRANSPOSED)
    assert sorted(whole_number_weights(path)) == sorted(f"{name}.weight_quantized" for name in LAYERS)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert operators["ConvTranspose"] == 2 and not operators["DepthToSpace"]
    ours, theirs = logits(sealed_path, images), logits(path, images)
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.15 * ours.std()
    mixed = quantize_int8(ranges, tmp_path / "mixed.onnx", operators=WITH_TRANSPOSED, keep_float=["decoders.0"])
    assert "decoders.0.weight_quantized" not in whole_number_weights(mixed)


def test_eight_bits_are_used_where_they_are_asked_for(calibration, tmp_path):
    seven, eight = (quantize_int8(calibration, tmp_path / f"{bits}.onnx", bits=bits) for bits in (7, 8))
    assert max(np.abs(w.astype(int)).max() for w in whole_number_weights(eight).values()) == 127
    assert whole_number_weights(seven).keys() == whole_number_weights(eight).keys()


def test_nothing_is_quantized_between_a_convolution_and_its_relu(calibration, tmp_path):
    """Whole numbers enter once and leave once: what lies between costs no conversion."""
    path = quantize_int8(calibration, tmp_path / "int8.onnx")
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert "Relu" not in operators and "ConvTranspose" not in operators
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (run["QuantizeLinear"], run["DequantizeLinear"], run["Conv"]) == (1, 1, 0)


def test_pools_and_concatenations_amid_float_layers_stay_in_float(calibration, tmp_path):
    shallow = ["encoders.0.conv1", "encoders.0.conv2", "decoders.3.conv1", "decoders.3.conv2", "head"]
    graph = onnx.load(quantize_int8(calibration, tmp_path / "int8.onnx", keep_float=shallow)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    read = [[makers.get(name, "") for name in node.input] for node in graph.node if node.op_type == "MaxPool"]
    assert read == [["Relu"], ["DequantizeLinear"]]
    joined = [[makers.get(name, "") for name in node.input] for node in graph.node if node.op_type == "Concat"]
    assert joined[0] == ["DequantizeLinear"] * 2 and "Relu" in joined[1]


def test_the_logits_are_nearly_those_of_the_float_file(calibration, sealed_path, images, tmp_path):
    ours = logits(sealed_path, images)
    theirs = logits(quantize_int8(calibration, tmp_path / "int8.onnx"), images)
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.15 * ours.std()
    assert not np.array_equal(ours, theirs)


def test_layers_kept_in_float_are_bit_equal_to_the_original_when_all_are_kept(
    calibration, sealed_path, images, tmp_path
):
    some = quantize_int8(calibration, tmp_path / "some.onnx", keep_float=["head", "encoders.0.conv1"])
    assert len(whole_number_weights(some)) == len(LAYERS) - 2
    mixed, exact = logits(some, images), logits(sealed_path, images)
    whole = logits(quantize_int8(calibration, tmp_path / "whole.onnx"), images)
    assert not np.array_equal(mixed, whole) and not np.array_equal(mixed, exact)


def test_a_layer_that_is_not_there_is_an_error_with_the_names(calibration, tmp_path):
    with pytest.raises(ModelFileError, match=r"no layer encoders\.9\.conv1\. Layers: encoders\.0\.conv1"):
        quantize_int8(calibration, tmp_path / "int8.onnx", keep_float=["encoders.9.conv1"])
    assert not (tmp_path / "int8.onnx").exists()


def test_equal_inputs_give_equal_bytes(calibration, tmp_path):
    first, second = (quantize_int8(calibration, tmp_path / f"{n}.onnx") for n in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert [(p.key, p.value) for p in onnx.load(first).metadata_props] == [("divisor", "4")]


def test_images_and_logits_stay_float32(calibration, sealed_path, images, tmp_path):
    """`open_session` refuses a file with other ends."""
    half = quantize_fp16(sealed_path, tmp_path / "fp16.onnx")
    assert half.stat().st_size < sealed_path.stat().st_size
    onnx.checker.check_model(onnx.load(half), full_check=True)  # its nodes stand in an order that strict readers take
    kinds = {t.data_type for t in onnx.load(half).graph.initializer if t.name.endswith(".weight")}
    assert kinds == {onnx.TensorProto.FLOAT16}
    np.testing.assert_allclose(logits(half, images), logits(sealed_path, images), atol=0.02)


def test_nothing_is_printed(sealed_path, images, tmp_path, capfd):
    for method in CALIBRATION_METHODS:
        calibrate(prepare_int8(sealed_path, tmp_path / "prepared.onnx"), images, method=method, folder=tmp_path)
    quantize_fp16(sealed_path, tmp_path / "fp16.onnx")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_an_unknown_method_teaches_the_names(sealed_path, images, tmp_path):
    with pytest.raises(ConfigError, match=r"Unknown calibration method 'max'\. Known: entropy, minmax, percentile"):
        calibrate(sealed_path, images, method="max", folder=tmp_path)


def test_a_file_that_is_no_model_is_a_typed_error(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="cannot be quantized"):
        prepare_int8(tmp_path / "bad.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
