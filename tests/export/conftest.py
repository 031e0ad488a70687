from __future__ import annotations

from pathlib import Path

import pytest
from tiny_unet import build

from compress.export.onnx import export_onnx


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny U-Net of seed 0 as an ONNX file; read it only."""
    return export_onnx(build(), tmp_path_factory.mktemp("export") / "tiny.onnx", divisor=2)
