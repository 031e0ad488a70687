"""What the network costs at other widths, some of its double convolutions being single."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from compress.models.checkpoint import Checkpoint
from compress.models.layers import Layer
from compress.prune.allocate import Grid
from compress.prune.budget import Kept
from compress.prune.plan import PruningPlan
from compress.prune.shapes import Shapes
from compress.steps.planning.latency import latency_model
from compress.steps.planning.precision import mixed_model
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class Count:
    """What a network costs: seconds, multiply-adds or parameters."""

    of: Callable[[Kept], float]
    """Of the network in which each group keeps so many units; 0 units of "<block>.conv1" make the block single."""
    dense: float
    """Of the whole network as it is, in float32."""
    float_layers: Callable[[Kept], tuple[str, ...]] | None = None
    """Layers that are best left in float32, by their names in the pruned network; None: nothing becomes INT8."""

    def __call__(self, kept: Kept) -> float:
        return self.of(kept)


@dataclass(frozen=True)
class Network:
    """A network whose widths are to be chosen."""

    checkpoint: Checkpoint
    base: PruningPlan
    """Ranks its channels and removes none."""
    shapes: Shapes

    @classmethod
    def of(cls, ws: Workspace, checkpoint: Checkpoint, base: PruningPlan) -> Network:
        example = torch.zeros(1, checkpoint.meta.arguments["in_channels"], *ws.rules.size)
        return cls(checkpoint, base, Shapes(checkpoint.network, example, base.channel_groups))

    def layers(self, kept: Kept) -> list[Layer]:
        """Its layers, single convolutions in the place of the first of their block."""
        found, result = self.shapes.at({name: count or self.shapes.widths[name] for name, count in kept.items()}), []
        places = {layer.name: layer for layer in found}
        gone = {name: second_of(name) for name, count in kept.items() if count == 0}
        for layer in found:
            if layer.name in gone:
                result.append(replace(layer, outputs=places[gone[layer.name]].outputs))
            elif layer.name not in gone.values():
                result.append(layer)
        return result


def second_of(first: str) -> str:
    """The convolution of the same block that stays when this one goes."""
    return f"{first.removesuffix('.conv1')}.conv2"


def count_of(
    quantity: str, ws: Workspace, network: Network, provider: str, grid: Grid, precision: str = "float32"
) -> Count:
    """What counts or predicts a quantity."""
    if precision == "int8":
        return _mixed_latency(ws, network, provider, grid)
    return _COUNTS[quantity](ws, network, provider, grid)


def _mixed_latency(ws: Workspace, network: Network, provider: str, grid: Grid) -> Count:
    model = mixed_model(ws, network.checkpoint, network.base, provider=provider, grid=grid)

    def float_layers(kept: Kept) -> tuple[str, ...]:
        stays = {name: second_of(name) for name in _gone(kept)}
        return tuple(stays.get(name, name) for name in model.times(network.layers(kept)).slower())

    dense = model.floats.predict(network.layers({}))
    return Count(lambda kept: model.predict(network.layers(kept)), dense, float_layers)


def _latency(ws: Workspace, network: Network, provider: str, grid: Grid) -> Count:
    model = latency_model(ws, network.checkpoint, network.base, provider=provider, grid=grid)
    every = network.shapes.layers

    def seconds(kept: Kept) -> float:
        found = network.layers(kept)
        if len(found) == len(every):
            return model.predict(found)
        # What is gone is asked for at its old widths, and not counted.
        there = {layer.name: layer for layer in found}
        times = model.seconds_per_layer([there.get(layer.name, layer) for layer in every])
        known = (seconds for layer, seconds in zip(every, times, strict=True) if layer.name in there)
        return model.overhead + sum(known)

    return Count(seconds, seconds({}))


def _macs(ws: Workspace, network: Network, provider: str, grid: Grid) -> Count:
    def macs(kept: Kept) -> float:
        return sum(layer.macs for layer in network.layers(kept)) if _gone(kept) else network.shapes.macs(kept)

    return Count(macs, macs({}))


def _parameters(ws: Workspace, network: Network, provider: str, grid: Grid) -> Count:
    def parameters(kept: Kept) -> float:
        single = [layer for layer in network.layers(kept) if layer.name in gone] if (gone := _gone(kept)) else []
        return network.shapes.parameters(kept) + sum(x.inputs * x.outputs * x.kernel for x in single)

    return Count(parameters, parameters({}))


def _gone(kept: Kept) -> Sequence[str]:
    return [name for name, count in kept.items() if count == 0]


_COUNTS: dict[str, Callable[[Workspace, Network, str, Grid], Count]] = {
    "latency": _latency,
    "macs": _macs,
    "params": _parameters,
}
"""Quantity of a target -> how it is found."""
