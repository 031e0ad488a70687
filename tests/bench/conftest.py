"""A tiny U-shaped ONNX model, built without torch (the same as the runtime tests use)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
tiny (float[n, 1, h, w] image) => (float[n, 4, h, w] logits) {
    a = Conv <pads = [1, 1, 1, 1]> (image, first)
    b = Relu (a)
    c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
    d = ConvTranspose <strides = [2, 2]> (c, up)
    e = Concat <axis = 1> (b, d)
    logits = Conv (e, head)
}"""
_WEIGHTS = {"first": (8, 1, 3, 3), "up": (8, 6, 2, 2), "head": (4, 14, 1, 1)}


@pytest.fixture
def tiny_model() -> onnx.ModelProto:
    """image (N, 1, H, W) -> logits (N, 4, H, W); odd sizes fail at the Concat."""
    model = onnx.parser.parse_model(_TEXT)
    rng = np.random.default_rng(0)
    for name, shape in _WEIGHTS.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    return model


@pytest.fixture
def tiny_path(tiny_model: onnx.ModelProto, tmp_path: Path) -> Path:
    """The tiny model as a file that tells its divisor, 2."""
    onnx.helper.set_model_props(tiny_model, {"divisor": "2", "labels": '{"RV": 1}'})
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    return path
