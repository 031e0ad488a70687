"""Transposed convolutions as plain ones, which ONNX Runtime's CPU provider has whole-number kernels for."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def spread_transposed(model: onnx.ModelProto) -> list[str]:
    """Rewrite every transposed convolution whose steps do not overlap as a 1x1 convolution and DepthToSpace, in place.

    Exact: each pixel becomes a tile of kernel x kernel pixels either way. Returns the names of the rewritten layers
    (weight names without ".weight"); others stay as they are.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, rewritten = [], []
    for node in model.graph.node:
        kernel = _tile(node, weights)
        if not kernel:
            nodes.append(node)
            continue
        nodes += _spread(model.graph, node, weights, kernel)
        rewritten.append(node.input[1].removesuffix(".weight"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return rewritten


def _tile(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> int:
    """The side of the tile that each pixel becomes; 0 for every other node."""
    if node.op_type != "ConvTranspose" or node.input[1] not in weights:
        return 0
    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    kernel = list(weights[node.input[1]].dims[2:])
    plain = not any(given.get("pads", [])) and not any(given.get("output_padding", []))
    plain = plain and set(given.get("dilations", [1])) == {1} and given.get("group", 1) == 1
    plain = plain and not given.get("output_shape") and given.get("auto_pad", b"NOTSET") == b"NOTSET"
    same = len(kernel) == 2 and len(set(kernel)) == 1 and given.get("strides", [1, 1]) == kernel
    return kernel[0] if plain and same else 0


def _spread(
    graph: onnx.GraphProto, node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], kernel: int
) -> list[onnx.NodeProto]:
    """The two nodes; weights (inputs, outputs, k, k) become (outputs * k * k, inputs, 1, 1), the bias is repeated."""
    stored = numpy_helper.to_array(weights[node.input[1]])
    inputs, outputs = stored.shape[:2]
    _replace(weights[node.input[1]], stored.transpose(1, 2, 3, 0).reshape(outputs * kernel**2, inputs, 1, 1))
    if len(node.input) > 2:
        bias = weights[node.input[2]]
        _replace(bias, np.repeat(numpy_helper.to_array(bias), kernel**2))
    tiles = f"{node.output[0]}_tiles"
    return [
        helper.make_node("Conv", node.input, [tiles], name=node.name, kernel_shape=[1, 1]),
        helper.make_node("DepthToSpace", [tiles], node.output, name=f"{node.name}_tiles", blocksize=kernel, mode="CRD"),
    ]


def _replace(tensor: onnx.TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
