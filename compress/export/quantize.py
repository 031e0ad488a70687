"""Fewer bits for an exported file, by onnxruntime.quantization: INT8 (static, QDQ) and FP16.

INT8: activations are uint8, weights int8 with one scale per channel. Weights use seven bits: the AVX2 instruction
that processors without VNNI multiply with saturates otherwise, and the same file must compute the same everywhere.
Transposed convolutions stay in float32, because ONNX Runtime's CPU provider has no whole-number kernel for them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from compress.choices import CALIBRATION_METHODS
from compress.errors import ModelFileError
from compress.files import atomic_path
from compress.registry import pick
from compress.runtime.proof import ORT_ERRORS, quiet_ort

QUANTIZED_OPERATORS = ("Conv", "MaxPool", "Concat")
"""Computed on whole numbers. Pools and concatenations only pass them on, so the chain is not left in between."""

WEIGHTS = "int8, 7 bits, per channel, symmetric"
ACTIVATIONS = "uint8"


@dataclass(frozen=True)
class Calibration:
    """Ranges of every activation, measured once and used for every choice of layers."""

    model: Path
    """The float file with its shapes filled in."""
    method: str
    ranges: Path
    """ONNX Runtime's calibration cache."""


def convolutions(path: Path) -> list[str]:
    """Names of the layers that can be computed in INT8, along the graph: weight names without ".weight"."""
    return list(_convolutions(onnx.load(path)))


def _convolutions(model: onnx.ModelProto) -> dict[str, str]:
    """Layer name -> node name."""
    return {n.input[1].removesuffix(".weight"): n.name for n in model.graph.node if n.op_type == "Conv"}


def fill_shapes(path: Path, target: Path) -> Path:
    """Write the model with every tensor's shape inferred, which quantization needs; returns `target`."""
    with _quiet():
        quant_pre_process(str(path), str(target), skip_optimization=True, skip_symbolic_shape=True)
    return target


def calibrate(model: Path, images: np.ndarray, *, method: str, folder: Path) -> Calibration:
    """Measure the range of every activation on images (N, C, H, W) float32, one at a time.

    `model` is what `fill_shapes` wrote; files go to `folder`. Raises `ConfigError` for an unknown method.
    """
    wanted = _ort_method(method)
    ranges = folder / f"{method}.json"
    with _quiet(), tempfile.TemporaryDirectory() as scrap:
        quantize_static(
            str(model),
            str(Path(scrap) / "scrap.onnx"),
            _Reader(images),
            calibrate_method=wanted,
            calibration_cache_path=ranges,
            **_SETTINGS,
        )
    return Calibration(model, method, ranges)


def _ort_method(name: str) -> CalibrationMethod:
    return CalibrationMethod[pick("calibration method", CALIBRATION_METHODS, name).ort_name]


def quantize_int8(calibration: Calibration, target: Path, *, keep_float: Sequence[str] = ()) -> Path:
    """Write the INT8 file with the layers in `keep_float` left in float32; returns `target`.

    Raises `ModelFileError` for a layer that the model does not have.
    """
    nodes = _convolutions(onnx.load(calibration.model))
    if unknown := sorted(set(keep_float) - set(nodes)):
        raise ModelFileError(f"The model has no layer {', '.join(unknown)}. Layers: {', '.join(nodes)}.")
    with _quiet(), atomic_path(target) as temporary:
        quantize_static(
            str(calibration.model),
            str(temporary),
            calibrate_method=_ort_method(calibration.method),
            calibration_cache_path=calibration.ranges,
            nodes_to_exclude=[nodes[name] for name in keep_float],
            **_SETTINGS,
        )
        _clean(temporary)
    return target


def quantize_fp16(path: Path, target: Path) -> Path:
    """Write the model with float16 weights and activations; images and logits stay float32. Returns `target`."""
    with _quiet(), atomic_path(target) as temporary:
        model = OnnxModel(convert_float_to_float16(onnx.load(path), keep_io_types=True))
        model.topological_sort()  # the conversion appends its casts at the end, which strict readers refuse
        onnx.save_model(model.model, str(temporary))
        _clean(temporary)
    return target


_SETTINGS = {
    "quant_format": QuantFormat.QDQ,
    "op_types_to_quantize": list(QUANTIZED_OPERATORS),
    "per_channel": True,
    "reduce_range": True,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
}


class _Reader(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        image = next(self._images, None)
        return None if image is None else {"image": np.ascontiguousarray(image[None], np.float32)}


def _clean(path: Path) -> None:
    """Remove the tools' stamps, so that equal inputs give equal files; of the metadata only the divisor stays."""
    model = onnx.load(path)
    model.producer_name, model.producer_version, model.doc_string = "cardiocompress", "", ""
    kept = [entry for entry in model.metadata_props if entry.key == "divisor"]
    del model.metadata_props[:], model.graph.value_info[:]
    model.metadata_props.extend(kept)
    path.write_bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn what the tools raise into one typed error, and hold back what they log and print while they work."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet_ort(), contextlib.redirect_stdout(io.StringIO()):
            yield
    except (*ORT_ERRORS, DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise ModelFileError(f"The model cannot be quantized: {reason}.", cure="Export the model again.") from fault
    finally:
        logging.disable(level)
