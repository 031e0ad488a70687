"""Which execution provider computes which node of an opened model, as ONNX Runtime tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import onnxruntime as ort

from compress.runtime.providers import PROVIDERS


@dataclass(frozen=True)
class PlacedNode:
    """One node of the graph that ONNX Runtime divided among its providers, after its first simplifications."""

    name: str
    operator: str
    """Operator type: Conv, Relu."""
    provider: str
    """The name in `PROVIDERS`, or ONNX Runtime's where we know none."""
    piece: int
    """Nodes of one number were handed over together, and the provider may compute them as one."""


Placement = tuple[PlacedNode, ...]


def read_placement(session: ort.InferenceSession) -> Placement:
    """Every node with its provider.

    The session must have been made with "session.record_ep_graph_assignment_info".
    """
    known = {row.ort_name: row.name for row in PROVIDERS.values()}
    return tuple(
        PlacedNode(node.name, node.op_type, known.get(name := str(piece.ep_name), name), number)
        for number, piece in enumerate(session.get_provider_graph_assignment_info())
        for node in piece.get_nodes()
    )


def count_nodes(placement: Placement) -> str:
    """In words: "cpu: 41 of 41 nodes"; of a provider that was handed several at once also "compiled as 1"."""
    owners = Counter(node.provider for node in placement)
    return "; ".join(_count(name, nodes, placement) for name, nodes in owners.items())


def _count(owner: str, nodes: int, placement: Placement) -> str:
    pieces = len({node.piece for node in placement if node.provider == owner})
    return f"{owner}: {nodes} of {len(placement)} nodes" + (f", compiled as {pieces}" if pieces < nodes else "")
