"""Fewer bits for an exported file, by onnxruntime.quantization: INT8 (static, QDQ) and FP16.

INT8: activations are uint8, weights int8 with one scale per channel. Weights use seven bits: the AVX2 instruction
that processors without VNNI multiply with saturates otherwise, and the same file must compute the same everywhere.
With eight bits the logits are nearer to the float ones, at the same speed, on processors that have VNNI.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quant_pre_process, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from compress.errors import ModelFileError
from compress.export.ranges import measure_ranges
from compress.export.transposed import spread_transposed
from compress.files import atomic_path
from compress.runtime.proof import ORT_ERRORS, quiet_ort

_PASSING = ("MaxPool", "DepthToSpace", "Concat")
"""Operators that only pass whole numbers on."""
QUANTIZED_OPERATORS = ("Conv", "Relu", *_PASSING)
"""Computed on whole numbers. A Relu costs nothing there: its output cannot be negative, so quantizing cuts it off."""

WITH_TRANSPOSED = (*QUANTIZED_OPERATORS, "ConvTranspose")
"""The same for a provider that computes transposed convolutions on whole numbers as they are (OpenVINO)."""

ACTIVATIONS = "uint8"


def weights_in_words(bits: int) -> str:
    """What a card says of weights of `bits` bits."""
    return f"int8, {bits} bits, per channel, symmetric"


@dataclass(frozen=True)
class Calibration:
    """Ranges of every activation, measured once and used for every choice of layers."""

    model: Path
    """The float file as `prepare_int8` wrote it."""
    method: str
    ranges: Path
    """ONNX Runtime's calibration cache."""


def convolutions(path: Path, *, transposed: bool = False) -> list[str]:
    """Names of the layers that can be computed in INT8, along the graph: weight names without ".weight".

    transposed: also those transposed convolutions that cannot become plain ones.
    """
    model = onnx.load(path)
    spread_transposed(model)
    return list(_convolutions(model, ("Conv", "ConvTranspose") if transposed else ("Conv",)))


def _convolutions(model: onnx.ModelProto, operators: Sequence[str]) -> dict[str, str]:
    """Layer name -> node name."""
    kinds = {"Conv", "ConvTranspose"} & set(operators)
    return {n.input[1].removesuffix(".weight"): n.name for n in model.graph.node if n.op_type in kinds}


def prepare_int8(path: Path, target: Path, *, spread: bool = True) -> Path:
    """Write the model as it is quantized: transposed convolutions as plain ones (`spread`), every shape filled in.

    Computes bit for bit the same. Returns `target`.
    """
    with _quiet():
        model = onnx.load(path)
        if spread:
            spread_transposed(model)
        onnx.save_model(model, str(target))
        quant_pre_process(str(target), str(target), skip_optimization=True, skip_symbolic_shape=True)
    return target


def calibrate(model: Path, images: np.ndarray, *, method: str, folder: Path) -> Calibration:
    """Measure the range of every activation on images (N, C, H, W) float32, one at a time.

    `model` is what `prepare_int8` wrote; the ranges go to `folder`. Raises `ConfigError` for an unknown method.
    """
    with _quiet():
        found = measure_ranges(onnx.load(model), images, method=method)
        pairs = {name: tuple(np.float32(end) for end in ends) for name, ends in found.items()}
        ranges = folder / f"{method}.json"
        save_tensors_data(TensorsData(_HOW, dict(pairs)), ranges)
    return Calibration(model, method, ranges)


_HOW = CalibrationMethod.MinMax
"""What ONNX Runtime makes scales of: the two ends of each range."""


def quantize_int8(
    calibration: Calibration,
    target: Path,
    *,
    keep_float: Sequence[str] = (),
    bits: int = 7,
    operators: Sequence[str] = QUANTIZED_OPERATORS,
) -> Path:
    """Write the INT8 file with weights of `bits` bits and the layers in `keep_float` in float32; returns `target`.

    `operators`: WITH_TRANSPOSED for a provider that computes transposed convolutions; others serve comparisons.

    Raises `ModelFileError` for a layer that the model does not have.
    """
    model = onnx.load(calibration.model)
    nodes = _convolutions(model, operators)
    if unknown := sorted(set(keep_float) - set(nodes)):
        raise ModelFileError(f"The model has no layer {', '.join(unknown)}. Layers: {', '.join(nodes)}.")
    in_float = {nodes[name] for name in keep_float}
    with _quiet(), atomic_path(target) as temporary:
        quantize_static(
            str(calibration.model),
            str(temporary),
            calibrate_method=_HOW,
            calibration_cache_path=calibration.ranges,
            nodes_to_exclude=sorted(in_float | _passing_in_float(model.graph, in_float)),
            reduce_range=bits == 7,
            op_types_to_quantize=list(operators),
            **_SETTINGS,
        )
        _clean(temporary)
    return target


def _passing_in_float(graph: onnx.GraphProto, in_float: set[str]) -> set[str]:
    """Names of the nodes that only pass values on and are better left in float: those in the midst of float layers.

    A pool or DepthToSpace follows the layer before it, a concatenation the majority of its neighbours, so that the
    fewest values are converted.
    """
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()

    def is_float(node: onnx.NodeProto | None) -> bool:
        while node is not None and node.op_type == "Relu":
            node = makers.get(node.input[0])
        return node is not None and node.name in in_float | found

    for node in graph.node:  # along the graph: what comes before is settled
        if node.op_type not in _PASSING:
            continue
        around = [makers.get(name) for name in node.input]
        if node.op_type == "Concat":
            around += [reader for reader in graph.node if node.output[0] in reader.input]
        votes = Counter(map(is_float, around))
        if votes[True] > votes[False]:
            found.add(node.name)
    return found


def quantize_fp16(path: Path, target: Path) -> Path:
    """Write the model with float16 weights and activations; images and logits stay float32. Returns `target`."""
    with _quiet(), atomic_path(target) as temporary:
        model = OnnxModel(convert_float_to_float16(onnx.load(path), keep_io_types=True))
        model.topological_sort()  # the conversion appends its casts at the end, which strict readers refuse
        onnx.save_model(model.model, str(temporary))
        _clean(temporary)
    return target


_SETTINGS = {
    "calibration_data_reader": None,  # the ranges are measured
    "quant_format": QuantFormat.QDQ,
    "per_channel": True,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
}


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
