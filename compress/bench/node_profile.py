"""Where a network's time goes: ONNX Runtime's own time of every node, and the layer that it belongs to.

ONNX Runtime rewrites the graph before it runs it (it fuses activations, pads channels, inserts
reorders), so a layer and its node share no name; `match_layers` finds them by operator and shape.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench.latency import Runner
from compress.bench.model_facts import Shape
from compress.errors import EnvironmentFault, ModelFileError
from compress.models.layers import Kind, Layer
from compress.runtime.session import open_session

OPERATORS: dict[Kind, frozenset[str]] = {
    "conv": frozenset({"Conv", "FusedConv", "QLinearConv"}),
    "transposed": frozenset({"ConvTranspose"}),
    "linear": frozenset({"Gemm", "FusedGemm", "MatMul", "FusedMatMul"}),
}
"""What ONNX Runtime calls the node that computes a layer of each kind."""

_WEIGHTED = frozenset().union(*OPERATORS.values())

_WARMUP = 3

WIDEST_BLOCK = 16
"""ONNX Runtime pads channels to blocks of at most this many."""


@dataclass(frozen=True)
class NodeTime:
    """One node of the graph that ONNX Runtime really runs."""

    name: str
    operator: str
    inputs: tuple[Shape, ...]
    """Shapes of its tensors; weights that were packed beforehand are missing."""
    outputs: tuple[Shape, ...]
    median: float
    """Seconds."""
    fastest: float
    """Seconds."""


@dataclass(frozen=True)
class NodeProfile:
    """What running one file took."""

    path: Path
    nodes: tuple[NodeTime, ...]
    """In order of execution."""
    wall: tuple[float, ...]
    """Seconds per run WITHOUT profiling, in order of rounds; of one thread the processor's."""


def profile_nodes(
    paths: Sequence[Path],
    *,
    size: tuple[int, int],
    batch: int = 1,
    provider: str = "cpu",
    threads: int | None = None,
    rounds: int = 40,
) -> tuple[NodeProfile, ...]:
    """Time every node of every file on a provider that `times_layers`, for `batch` images of `size` (H, W).

    Each round runs every file twice, with and without profiling, and the first file before each, so
    that a small network finds the caches as it does beside its dense one. On a GPU a node's time would
    be that of its launch. Raises what `open_session` and `Session.run` raise, and
    `EnvironmentFault` for a profile that cannot be read.
    """
    open_one = partial(open_session, provider=provider, threads=threads, spinning="per-run")
    first, *plain = [open_one(path) for path in (paths[0], *paths)]
    with tempfile.TemporaryDirectory(prefix="node-profile-") as folder:
        traced = [open_one(path, profile=Path(folder, f"{index}")) for index, path in enumerate(paths)]
        images = np.random.default_rng(0).standard_normal((batch, first.channels, *size)).astype(np.float32)
        # One thread's processor time is what its run takes when nothing else computes, on a busy machine too.
        clock = time.process_time if threads == 1 else time.perf_counter
        walls = _run_in_turn(first, plain, traced, images, rounds, clock)
        files = [Path(session.inner.end_profiling()) for session in traced]
        return tuple(
            NodeProfile(Path(path), read_profile(file, rounds=rounds), wall)
            for path, file, wall in zip(paths, files, walls, strict=True)
        )


def _run_in_turn(
    first: Runner,
    plain: Sequence[Runner],
    traced: Sequence[Runner],
    images: np.ndarray,
    rounds: int,
    clock: Callable[[], float],
) -> list[tuple[float, ...]]:
    """Seconds of each plain run, per file; the order is reversed every round."""
    walls: list[list[float]] = [[] for _ in plain]
    for number in range(_WARMUP + rounds):
        order = range(len(plain)) if number % 2 == 0 else reversed(range(len(plain)))
        for index in order:
            first.run(images)
            start = clock()
            plain[index].run(images)
            walls[index].append(clock() - start)
            traced[index].run(images)
    return [tuple(wall[_WARMUP:]) for wall in walls]


def read_profile(file: Path, *, rounds: int) -> tuple[NodeTime, ...]:
    """The nodes of ONNX Runtime's profile, each over the last `rounds` runs. Raises `EnvironmentFault`."""
    runs = list(_runs(json.loads(file.read_text(encoding="utf-8"))))[-rounds:]
    if len(runs) != rounds or len({tuple(e["name"] for e in run) for run in runs}) != 1 or not runs[0]:
        raise EnvironmentFault(
            f"{file.name} holds {len(runs)} comparable runs of the network, not {rounds}.",
            cure="Use a version of onnxruntime that this package was tested with.",
        )
    return tuple(_node_time(events) for events in zip(*runs, strict=True))


def _runs(events: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The node events of one run after the other; an event "model_run" ends each."""
    nodes: list[dict[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.append(event)
        elif event.get("name") == "model_run":
            yield nodes
            nodes = []


def _node_time(events: Sequence[dict[str, Any]]) -> NodeTime:
    details = events[0]["args"]
    seconds = np.array([event["dur"] for event in events]) * 1e-6  # ONNX Runtime writes whole microseconds
    return NodeTime(
        name=events[0]["name"].removesuffix("_kernel_time"),
        operator=details["op_name"],
        inputs=_tensors(details["input_type_shape"]),
        outputs=_tensors(details["output_type_shape"]),
        median=float(np.median(seconds)),
        fastest=float(seconds.min()),
    )


def _tensors(described: Sequence[Mapping[str, Sequence[int]]]) -> tuple[Shape, ...]:
    """[{"float": [1, 32, 160, 160]}, ...] as plain shapes."""
    return tuple(tuple(dims) for entry in described for dims in entry.values())


def match_layers(layers: Sequence[Layer], nodes: Sequence[NodeTime]) -> tuple[int, ...]:
    """For each layer the index of the first node not yet taken that computes its shape.

    ONNX Runtime may run branches in another order than the file lists them; nodes of the same shape
    do the same work, so which of them a layer gets does not matter. Raises `ModelFileError` naming
    the first layer without a node.
    """
    free = [index for index, node in enumerate(nodes) if node.operator in _WEIGHTED]
    found = []
    for number, layer in enumerate(layers):
        index = next((i for i in free if _computes(nodes[i], layer)), None)
        if index is None:
            left = "; ".join(f"{nodes[i].operator} {nodes[i].inputs} -> {nodes[i].outputs}" for i in free[:3])
            raise ModelFileError(f"No profiled node computes layer {number}, {layer}; left are: {left or 'none'}.")
        free.remove(index)
        found.append(index)
    return tuple(found)


def _computes(node: NodeTime, layer: Layer) -> bool:
    if node.operator not in OPERATORS[layer.kind]:
        return False
    image, output = node.inputs[0], node.outputs[0]
    if node.operator == "QLinearConv":  # channels come last, and none are padded
        return (image[-1], output[-1], prod(output[1:-1])) == (layer.inputs, layer.outputs, layer.positions)
    if layer.kind == "linear":
        return output[-1] == layer.outputs and image[-1] == layer.inputs
    kernel = prod(node.inputs[1][2:]) if len(node.inputs) > 1 and len(node.inputs[1]) > 2 else layer.kernel
    sizes = (kernel, prod(output[2:])) == (layer.kernel, layer.positions)
    return sizes and 0 <= image[1] - layer.inputs < WIDEST_BLOCK and 0 <= output[1] - layer.outputs < WIDEST_BLOCK
