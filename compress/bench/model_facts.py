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
from compress.models.layers import Layer

Shape = tuple[int, ...]
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
_PASSED_ON = {"DequantizeLinear", "QuantizeLinear", "Cast", "Identity"}
"""Between a stored weight and the layer that multiplies with it, where the file is quantized."""
_UNCOUNTED = {"QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "FusedConv", "Einsum"}
"""Operators that multiply and are no layer here; those of `_READERS` join them where no stored weight is read."""


@dataclass(frozen=True)
class ModelFacts:
    """Figures of one model file that need no measuring."""

    file_bytes: int
    parameters: int
    """Elements of the weights and biases, whatever their type; folded BatchNorms count as the biases they became.

    In a quantized file: without scales and zero points.
    """
    macs: int
    """Multiply-adds of convolutions and linear layers for ONE image."""
    widths: dict[str, int]
    """Output channels per convolution, by weight name, in graph order."""
    warnings: tuple[str, ...] = ()


def read_facts(path: Path, *, shape: tuple[int, int, int, int]) -> ModelFacts:
    """Count at one image of `shape` (N, C, H, W); N is ignored. Raises `ModelFileError`."""
    model = load_graph(path)
    layers, others = _layers(model, (1, *shape[1:]), path)
    operators = {node.op_type for node in others}
    unknown = sorted(operators & {*_UNCOUNTED, *_READERS})
    return ModelFacts(
        file_bytes=Path(path).stat().st_size,
        parameters=_parameters(model.graph),
        macs=sum(layer.macs for layer in layers),
        widths={layer.name: layer.outputs for layer in layers if layer.kind != "linear"},
        warnings=(f"MACs leave out the operators {', '.join(unknown)}.",) if unknown else (),
    )


def network_layers(path: Path, *, size: tuple[int, int]) -> tuple[Layer, ...]:
    """Convolutions, transposed convolutions and linear layers in graph order, for one image of `size` (H, W).

    A matrix product of two activations has no weights and is none. Raises `ModelFileError`.
    """
    model = load_graph(path)
    images = _images(model.graph)
    channels = images[0].type.tensor_type.shape.dim[1].dim_value if len(images) == 1 else 0
    return _layers(model, (1, channels, *size), path)[0]


def _layers(model: onnx.ModelProto, shape: Shape, path: Path) -> tuple[tuple[Layer, ...], list[onnx.NodeProto]]:
    """The layers, whether their weights are stored as they are or quantized, and every other node."""
    shapes = tensor_shapes(model, shape, path)
    stored = {t.name for t in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    layers, others = [], []
    for node in model.graph.node:
        weight = _source(node.input[1], makers) if node.op_type in _READERS else ""
        if weight not in stored:
            others.append(node)
            continue
        image, kernel, output = (_known(shapes, name, node) for name in (*node.input[:2], node.output[0]))
        name = weight.removesuffix("_quantized").removesuffix(".weight")
        attributes = {a.name: a.i for a in node.attribute}
        layers.append(_READERS[node.op_type](name, image, kernel, output, attributes))
    return tuple(layers), others


def _source(weight: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """Where a layer's weight is stored: "encoders.0.conv1.weight"; makers: tensor -> the node that gives it."""
    while weight in makers and makers[weight].op_type in _PASSED_ON:
        weight = makers[weight].input[0]
    return weight


def _convolution(name: str, image: Shape, weight: Shape, output: Shape, attributes: Mapping[str, int]) -> Layer:
    groups, positions = attributes.get("group", 1), prod(output[2:])
    return Layer(name, "conv", weight[1] * groups, weight[0], prod(weight[2:]), positions, groups, positions)


def _transposed(name: str, image: Shape, weight: Shape, output: Shape, attributes: Mapping[str, int]) -> Layer:
    groups, kernel = attributes.get("group", 1), prod(weight[2:])
    return Layer(name, "transposed", weight[0], weight[1] * groups, kernel, prod(output[2:]), groups, prod(image[2:]))


def _linear(name: str, image: Shape, weight: Shape, output: Shape, attributes: Mapping[str, int]) -> Layer:
    inputs, outputs = reversed(weight[-2:]) if attributes.get("transB") else weight[-2:]
    positions = prod(output[1:-1])
    return Layer(name, "linear", inputs, outputs, 1, positions, 1, positions)


_READERS: Mapping[str, Callable[[str, Shape, Shape, Shape, Mapping[str, int]], Layer]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _linear,
    "MatMul": _linear,
}


def _parameters(graph: onnx.GraphProto) -> int:
    """Floating-point initializers, and whole numbers that stand for some; scales are in neither."""
    coded = [node for node in graph.node if node.op_type in ("DequantizeLinear", "QuantizeLinear")]
    values = {node.input[0] for node in coded}
    scales = {name for node in coded for name in node.input[1:]}
    return sum(
        prod(t.dims) for t in graph.initializer if t.name not in scales and (t.data_type in _FLOATS or t.name in values)
    )


def _known(shapes: Mapping[str, Shape], name: str, node: onnx.NodeProto) -> Shape:
    shape = shapes.get(name, ())
    if not all(shape) or not shape:
        raise ModelFileError(f"The shape of '{name}' at the node {node.name} ({node.op_type}) cannot be inferred.")
    return shape


def tensor_shapes(model: onnx.ModelProto, shape: Shape, path: Path) -> dict[str, Shape]:
    """Every tensor's shape when the only input is fixed to `shape`."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    images = _images(fixed.graph)
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


def _images(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    stored = {t.name for t in graph.initializer}
    return [entry for entry in graph.input if entry.name not in stored]


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
