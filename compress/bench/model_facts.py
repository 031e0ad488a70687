"""What an ONNX file holds: size, parameters, widths and multiply-adds, without running it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from pathlib import Path

import onnx

from compress.bench.onnx_graph import load_graph
from compress.errors import ModelFileError

Shape = tuple[int, ...]
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
_PASSED_ON = {"DequantizeLinear", "QuantizeLinear", "Cast", "Identity"}
"""Between a stored weight and the layer that multiplies with it, where the file is quantized."""
_UNCOUNTED = {"QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "FusedConv", "Einsum"}


@dataclass(frozen=True)
class ModelFacts:
    """Figures of one model file that need no measuring."""

    file_bytes: int
    parameters: int
    """Elements of the weights and biases, whatever their type; folded BatchNorms count as the biases they became.

    In a quantized file: without scales and zero points.
    """
    macs: int
    """Multiply-adds of convolutions and matrix products for ONE image."""
    widths: dict[str, int]
    """Output channels per convolution, by weight name, in graph order."""
    warnings: tuple[str, ...] = ()


def read_facts(path: Path, *, shape: tuple[int, int, int, int]) -> ModelFacts:
    """Count at one image of `shape` (N, C, H, W); N is ignored. Raises `ModelFileError`."""
    model = load_graph(path)
    shapes = tensor_shapes(model, (1, *shape[1:]), path)
    counted = [node for node in model.graph.node if node.op_type in MAC_RULES]
    convolutions = [node for node in counted if node.op_type in ("Conv", "ConvTranspose")]
    makers = {output: node for node in model.graph.node for output in node.output}
    names = [layer_name(node.input[1], makers) for node in convolutions]
    unknown = sorted({node.op_type for node in model.graph.node} & _UNCOUNTED)
    return ModelFacts(
        file_bytes=Path(path).stat().st_size,
        parameters=_parameters(model.graph),
        macs=sum(_macs(node, shapes) for node in counted),
        widths={name: _width(node, shapes) for name, node in zip(names, convolutions, strict=True)},
        warnings=(f"MACs leave out the operators {', '.join(unknown)}.",) if unknown else (),
    )


def layer_name(weight: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """The layer that a convolution's weight input belongs to, found where the weight is stored: "encoders.0.conv1".

    makers: every tensor's name -> the node that gives it.
    """
    while weight in makers and makers[weight].op_type in _PASSED_ON:
        weight = makers[weight].input[0]
    return weight.removesuffix("_quantized").removesuffix(".weight")


def _parameters(graph: onnx.GraphProto) -> int:
    """Floating-point initializers, and whole numbers that stand for some; scales are in neither."""
    coded = [node for node in graph.node if node.op_type in ("DequantizeLinear", "QuantizeLinear")]
    values = {node.input[0] for node in coded}
    scales = {name for node in coded for name in node.input[1:]}
    return sum(
        prod(t.dims) for t in graph.initializer if t.name not in scales and (t.data_type in _FLOATS or t.name in values)
    )


def _convolution(inputs: list[Shape], output: Shape, node: onnx.NodeProto) -> int:
    return prod(output) * prod(inputs[1][1:])


def _transposed(inputs: list[Shape], output: Shape, node: onnx.NodeProto) -> int:
    return prod(inputs[0]) * prod(inputs[1][1:])


def _gemm(inputs: list[Shape], output: Shape, node: onnx.NodeProto) -> int:
    flipped = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(output) * inputs[0][0 if flipped else 1]


def _matmul(inputs: list[Shape], output: Shape, node: onnx.NodeProto) -> int:
    return prod(output) * inputs[0][-1]


MAC_RULES: Mapping[str, Callable[[list[Shape], Shape, onnx.NodeProto], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
"""Multiply-adds of one node from its input shapes and its output shape. Biases are not counted."""


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    inputs = [_known(shapes, name, node) for name in node.input if name]
    return MAC_RULES[node.op_type](inputs, _known(shapes, node.output[0], node), node)


def _width(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    return _known(shapes, node.output[0], node)[1]


def _known(shapes: Mapping[str, Shape], name: str, node: onnx.NodeProto) -> Shape:
    shape = shapes.get(name, ())
    if not all(shape) or not shape:
        raise ModelFileError(f"The shape of '{name}' at the node {node.name} ({node.op_type}) cannot be inferred.")
    return shape


def tensor_shapes(model: onnx.ModelProto, shape: Shape, path: Path) -> dict[str, Shape]:
    """Every tensor's shape when the only input is fixed to `shape`."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    stored = {t.name for t in fixed.graph.initializer}
    images = [entry for entry in fixed.graph.input if entry.name not in stored]
    if len(images) != 1:
        raise ModelFileError(f"{path} has {len(images)} inputs; expected one, the image.")
    declared = _dims(images[0])
    if len(declared) != len(shape) or any(d and d != s for d, s in zip(declared[1:], shape[1:], strict=True)):
        raise ModelFileError(f"{path} does not accept an image of {shape}: it declares {declared}, 0 where it is free.")
    del fixed.graph.value_info[:]
    _sort(fixed.graph)
    for entry in (*images, *fixed.graph.output):
        entry.type.tensor_type.ClearField("shape")
    for size in shape:
        images[0].type.tensor_type.shape.dim.add().dim_value = size
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as fault:
        raise ModelFileError(f"{path} does not accept an image of {shape}: {' '.join(str(fault).split())}.") from None
    known = {entry.name: _dims(entry) for entry in (*inferred.value_info, *inferred.input, *inferred.output)}
    return known | {t.name: tuple(t.dims) for t in inferred.initializer}


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node behind those that it reads from, as inference needs it; ONNX Runtime's FP16 tool does not."""
    makers = {output: index for index, node in enumerate(graph.node) for output in node.output}
    needs = {index: [makers[name] for name in node.input if name in makers] for index, node in enumerate(graph.node)}
    try:
        ordered = [graph.node[index] for index in TopologicalSorter(needs).static_order()]
    except CycleError:
        return  # inference says what is wrong
    copies = [copy.deepcopy(node) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _dims(entry: onnx.ValueInfoProto) -> Shape:
    return tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim)
