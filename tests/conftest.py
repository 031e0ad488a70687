"""What every test may use: the real data when it is there, a small phantom, a tiny ONNX model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from compress.runtime.machine import available_cores

if TYPE_CHECKING:
    import onnx

# torch and onnx are imported inside the fixtures, so that tests of numpy code start without them. The number of
# threads is therefore asked for where torch will look whenever it is loaded, in a test's own processes too.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, available_cores())))

# The same examples every time: a failure seen once is seen by everyone.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` stays short: what takes minutes is skipped, and says how it is run."""
    if not os.environ.get("CARDIOCOMPRESS_LONG"):
        skipped = pytest.mark.skip(reason="CARDIOCOMPRESS_LONG is not set: this test takes a minute or more")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skipped)


@pytest.fixture(scope="session")
def acdc_dir() -> Path:
    """The real ACDC data; the test is skipped where there is none."""
    named = os.environ.get("CARDIOCOMPRESS_ACDC", "")
    if not named:
        pytest.skip("CARDIOCOMPRESS_ACDC is not set to a folder with the real ACDC data")
    if not Path(named).is_dir():
        pytest.skip(f"CARDIOCOMPRESS_ACDC is {named}, which is not a folder")
    return Path(named)


@pytest.fixture(scope="session")
def tiny_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic patients in ACDC's layout; tests must not write into the folder."""
    from compress.data.phantom import write_phantom

    return write_phantom(tmp_path_factory.mktemp("phantom"), patients=6, seed=11)


@pytest.fixture(scope="session")
def sealed_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny U-Net with random weights as a finished export: model card, self-test, 32 x 32 pixels of 6 mm.

    Tests must not write to it.
    """
    import torch
    from torch import nn

    from compress.data.preprocess import Preprocessing
    from compress.data.volume import ACDC_LABELS
    from compress.export.metadata import make_card
    from compress.export.onnx import export_onnx
    from compress.export.seal import seal
    from compress.models.build import build
    from compress.models.checkpoint import Checkpoint, Meta
    from compress.models.unet import dense_widths
    from compress.runtime.card import TrainingRange

    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths([4, 8])}
    torch.manual_seed(0)
    network = build("unet", arguments).eval()
    nn.init.zeros_(network.head.bias)  # an untrained network's last biases give one label everywhere
    rules = Preprocessing((6.0, 6.0), (32, 32), (0.5, 99.5))
    meta = Meta("unet", arguments, dict(ACDC_LABELS), rules.to_json(), phantom=True, digest="d" * 64)
    seen = TrainingRange((0.7, 2.0), (5.0, 10.0), (6, 18), (200.0, 500.0))
    card = make_card(Checkpoint(network, meta), training_range=seen, licence="none", intended_use="Tests.")
    path = tmp_path_factory.mktemp("sealed") / "model.onnx"
    return seal(export_onnx(network, path, divisor=4), card)


@pytest.fixture
def tiny_model() -> onnx.ModelProto:
    """image (N, 1, H, W) -> logits (N, 4, H, W); odd sizes fail at the Concat."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.parser.parse_model(_TEXT)
    rng = np.random.default_rng(0)
    for name, shape in _WEIGHTS.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    return model


@pytest.fixture
def tiny_path(tiny_model: onnx.ModelProto, tmp_path: Path) -> Path:
    """The tiny model as a file that tells its divisor, 2."""
    import onnx

    onnx.helper.set_model_props(tiny_model, {"divisor": "2", "labels": '{"RV": 1}'})
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    return path
