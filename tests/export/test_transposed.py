"""Transposed convolutions as plain ones: the same values, or left alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from compress.export.transposed import spread_transposed

_TEXT = """<ir_version: 8, opset_import: ["" : 17]>
m (float[n, 3, h, w] image) => (float[n, c, y, x] logits) {{
    logits = ConvTranspose <{attributes}> (image, {inputs})
}}"""


def _model(attributes: str, shape: tuple[int, ...], *, bias: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    inputs = '"a.weight", "b"' if bias else '"a.weight"'
    model = onnx.parser.parse_model(_TEXT.format(attributes=attributes, inputs=inputs))
    weights = {"a.weight": shape} | ({"b": shape[1:2]} if bias else {})
    for name, dims in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), name))
    return model


def _run(model: onnx.ModelProto) -> np.ndarray:
    image = np.random.default_rng(1).standard_normal((2, 3, 5, 7)).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", [2, 3])
def test_tiles_become_a_plain_convolution_of_the_same_values(side: int, bias: bool) -> None:
    model = _model(f"strides = [{side}, {side}]", (3, 4, side, side), bias=bias)
    before = _run(model)
    assert spread_transposed(model) == ["a"]
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "DepthToSpace"]
    np.testing.assert_allclose(_run(model), before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ("strides = [2, 2]", (3, 4, 3, 3)),
        ("strides = [2, 3]", (3, 4, 2, 3)),
        ("strides = [2, 2], pads = [1, 1, 0, 0]", (3, 4, 2, 2)),
        ("strides = [2, 2], output_padding = [1, 1]", (3, 4, 2, 2)),
        ("strides = [2, 2], group = 3", (3, 4, 2, 2)),
        ("strides = [2, 2], dilations = [2, 2]", (3, 4, 2, 2)),
    ],
)
def test_what_is_no_tiling_is_left_as_it_is(attributes: str, shape: tuple[int, ...]) -> None:
    model = _model(attributes, shape, bias=False)
    before = model.SerializeToString(deterministic=True)
    assert spread_transposed(model) == []
    assert model.SerializeToString(deterministic=True) == before
