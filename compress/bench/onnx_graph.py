"""The whole graph of an ONNX file, for those who count its layers; needs the onnx package."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from compress.errors import ModelFileError
from compress.runtime.modelfile import read_model_file


def load_graph(path: Path) -> onnx.ModelProto:
    """Parse one self-contained ONNX file. Raises `ModelFileError` as `read_model_file` does."""
    content = read_model_file(path).content
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ModelFileError(
            f"{path} is not an ONNX file, or it is truncated.", cure="Export the model again."
        ) from None
    return model
