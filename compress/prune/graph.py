"""How channels flow through a network: which convolution made each channel of each tensor.

The network is traced with torch.fx. Every value carries its channels as a list of segments, each
made by one convolution; normalisation and pooling keep segments, concatenation joins them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError

from compress.errors import PlanError


@dataclass(frozen=True)
class Segment:
    """A run of channels with one origin."""

    producer: str | None
    """Module name of the convolution that makes them; None for the network's input."""
    width: int


Segments = tuple[Segment, ...]


@dataclass(frozen=True)
class Touch:
    """One module and the segments that arrive at it."""

    module: str
    inputs: Segments


@dataclass(frozen=True)
class ChannelFlow:
    """Everything that channel groups are made from."""

    convolutions: tuple[Touch, ...]
    """In order of execution; each is producer of its outputs and consumer of `inputs`."""
    norms: tuple[Touch, ...]
    outputs: frozenset[str]
    """Producers whose channels leave the network: they cannot be pruned."""


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm2d,)
_KEEPERS = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Upsample)


def trace_channels(network: nn.Module, *, in_channels: int) -> ChannelFlow:
    """Follow the channels of a network whose only input is (N, in_channels, H, W).

    Raises `PlanError` naming the first operation that cannot be followed.
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except (TraceError, TypeError) as fault:
        raise PlanError(f"Channels of {type(network).__name__} cannot be followed: {fault}") from fault
    tracer = _Tracer(dict(network.named_modules()), in_channels)
    for node in graph.nodes:
        tracer.visit(node)
    return ChannelFlow(tuple(tracer.convolutions), tuple(tracer.norms), frozenset(tracer.outputs))


class _Tracer:
    def __init__(self, modules: dict[str, nn.Module], in_channels: int) -> None:
        self.modules, self.in_channels = modules, in_channels
        self.flow: dict[fx.Node, Segments] = {}
        self.convolutions: list[Touch] = []
        self.norms: list[Touch] = []
        self.outputs: set[str] = set()

    def visit(self, node: fx.Node) -> None:
        visitors: dict[str, Callable[[fx.Node], Segments]] = {
            "placeholder": lambda _: (Segment(None, self.in_channels),),
            "call_module": self._module,
            "call_function": self._function,
            "output": self._output,
        }
        if node.op not in visitors:
            raise _unknown(node)
        self.flow[node] = visitors[node.op](node)

    def _module(self, node: fx.Node) -> Segments:
        name, module = str(node.target), self.modules[str(node.target)]
        arriving = self._arriving(node, _first(node))
        if isinstance(module, _CONVOLUTIONS):
            if module.groups != 1:
                raise PlanError(f"{name} is a grouped convolution; only groups=1 can be pruned.")
            self._once(name, self.convolutions)
            self.convolutions.append(Touch(name, arriving))
            return (Segment(name, module.out_channels),)
        if isinstance(module, _NORMS):
            self._once(name, self.norms)
            self.norms.append(Touch(name, arriving))
            return arriving
        if isinstance(module, _KEEPERS):
            return arriving
        raise _unknown(node, type(module).__name__)

    def _once(self, name: str, seen: list[Touch]) -> None:
        if any(touch.module == name for touch in seen):
            raise PlanError(f"{name} is used more than once; only modules with one place in the network can be pruned.")

    def _function(self, node: fx.Node) -> Segments:
        if node.target is torch.cat:
            dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
            parts = _first(node)
            if dim == 1 and isinstance(parts, list | tuple):
                return tuple(s for part in parts for s in self._arriving(node, part))
        if node.target in (torch.relu, nn.functional.relu, nn.functional.max_pool2d):
            return self._arriving(node, _first(node))
        raise _unknown(node, "addition" if node.target is operator.add else "")

    def _output(self, node: fx.Node) -> Segments:
        segments = self._arriving(node, _first(node))
        self.outputs |= {s.producer for s in segments if s.producer is not None}
        return segments

    def _arriving(self, node: fx.Node, value: object) -> Segments:
        if not isinstance(value, fx.Node):
            raise _unknown(node)
        return self.flow[value]


def _first(node: fx.Node) -> object:
    return node.args[0] if node.args else None


def _unknown(node: fx.Node, what: str = "") -> PlanError:
    described = f" ({what})" if what else ""
    return PlanError(
        f"Channels cannot be followed through '{node.name}'{described}.",
        cure="Convolutions, BatchNorm, ReLU, pooling and channel concatenation can be followed.",
    )
