"""Which layers are faster in float than on whole numbers: measured layer by layer, chosen for the whole network.

A layer alone in its precision costs two conversions, so no layer can be judged by its own time. Layers and conversions
form a graph in which the cheapest choice is a minimum cut (Greig, Porteous and Seheult 1989); it is found exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from compress.bench.layer_fit import split_by_layer
from compress.bench.model_facts import network_layers
from compress.bench.node_profile import NodeProfile, NodeTime, profile_nodes
from compress.models.layers import Layer

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
_PASSING = ("Relu", "MaxPool", "DepthToSpace", "Concat", *_CONVERSIONS)
"""What a tensor goes through from one layer to the next."""


@dataclass(frozen=True)
class PrecisionTimes:
    """Seconds of every layer in both precisions, and of what lies between."""

    float_s: dict[str, float]
    """Layer -> its node and those after it that have no weights."""
    int8_s: dict[str, float]
    edges: dict[tuple[str, str], float]
    """(layer, layer that reads it) -> seconds of converting what passes between them."""

    def slower(self, *, conversion: float = 1.0) -> tuple[str, ...]:
        """Layers to leave in float so that the sum of all is least, in order of the graph.

        `conversion` weighs the conversions: an estimate from few of them may be off by a factor.
        """
        names = list(self.float_s)
        source, sink = len(names), len(names) + 1
        at = {name: index for index, name in enumerate(names)}
        capacity = np.zeros((len(names) + 2, len(names) + 2))
        for name, index in at.items():
            capacity[source, index] = self.int8_s[name]  # cut when the layer lies on the sink's side: INT8
            capacity[index, sink] = self.float_s[name]
        for (first, second), seconds in self.edges.items():
            capacity[at[first], at[second]] += seconds * conversion
            capacity[at[second], at[first]] += seconds * conversion
        whole = np.rint(capacity * (1e9 / capacity.sum())).astype(np.int32)  # flows are whole numbers
        flow = maximum_flow(csr_array(whole), source, sink).flow.toarray()
        reached = breadth_first_order(csr_array((whole - flow) > 0), source, return_predecessors=False)
        return tuple(name for name, index in at.items() if index in set(reached.tolist()))


def measure_precisions(
    floats: Path, int8: Path, *, size: tuple[int, int], batch: int = 1, threads: int | None = None, rounds: int = 20
) -> PrecisionTimes:
    """Time every layer of a float file and of its INT8 file on the CPU, at images of `size` (H, W).

    The fastest round counts: on a busy machine the median tells of the machine. Raises what `profile_nodes` raises,
    and `ModelFileError` for files of different layers.
    """
    layers = [network_layers(path, size=size) for path in (floats, int8)]
    profiles = profile_nodes([floats, int8], size=size, batch=batch, threads=threads, rounds=rounds)
    seconds = [_per_layer(found, profile) for found, profile in zip(layers, profiles, strict=True)]
    rate = conversion_rate(profiles[1].nodes)
    values = {layer.name: layer.outputs * layer.positions * batch for layer in layers[1]}
    edges = {
        (maker, reader): rate * values[maker] / shrink
        for (maker, reader), shrink in layer_edges(onnx.load(int8), [layer.name for layer in layers[1]]).items()
    }
    return PrecisionTimes(seconds[0], seconds[1], edges)


def _per_layer(layers: Sequence[Layer], profile: NodeProfile) -> dict[str, float]:
    nodes = tuple(node for node in profile.nodes if node.operator not in _CONVERSIONS)
    own, after, _ = split_by_layer(layers, NodeProfile(profile.path, nodes, profile.wall))
    return {layer.name: float(seconds) for layer, seconds in zip(layers, own + after, strict=True)}


def conversion_rate(nodes: Sequence[NodeTime]) -> float:
    """Seconds per value of one conversion and one change of layout, from those of the whole INT8 network."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for node in nodes:
        if node.operator in _CONVERSIONS or node.operator == "Transpose":
            rates[node.operator == "Transpose"].append(node.fastest / np.prod(node.outputs[0]))
    return sum(float(np.median(found)) for found in rates.values() if found)


def layer_edges(model: onnx.ModelProto, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """(layer, layer that reads it) -> by how much a pool between them shrinks the image."""
    known = set(names)
    weights = {tensor.name for tensor in model.graph.initializer}
    stored: dict[str, str] = {}  # tensor -> the weight that it is made of
    origin: dict[str, list[tuple[str, int]]] = {}  # tensor -> the layers it comes from
    edges: dict[tuple[str, str], int] = {}
    for node in model.graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type == "DequantizeLinear" and first in weights:
            stored[node.output[0]] = first
            continue
        weight = stored.get(node.input[1], node.input[1]) if len(node.input) > 1 else ""
        name = weight.removesuffix("_quantized").removesuffix(".weight")
        if name in known and node.op_type not in _PASSING:
            edges |= {(maker, name): shrink for maker, shrink in origin.get(first, [])}
            origin[node.output[0]] = [(name, 1)]
        elif node.op_type in _PASSING:
            read = node.input if node.op_type == "Concat" else [first]
            shrink = _pooled(node) if node.op_type == "MaxPool" else 1
            origin[node.output[0]] = [(maker, by * shrink) for entry in read for maker, by in origin.get(entry, [])]
    return edges


def _pooled(node: onnx.NodeProto) -> int:
    given: Mapping[str, Sequence[int]] = {entry.name: entry.ints for entry in node.attribute}
    return int(np.prod(given.get("strides", [1])))
