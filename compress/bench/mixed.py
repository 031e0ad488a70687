"""Predict the latency of a network of any widths whose layers each compute in the precision that suits the whole.

Float and INT8 files of a handful of sample networks are timed together; each precision gets a model of its own
(`compress.bench.layer_costs`; the features of the float kernels fit the whole-number ones as well), and what passes
between layers of different precision costs a conversion. The prediction is the cheapest choice of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from compress import records
from compress.bench.choices import Choices
from compress.bench.layer_costs import LatencyModel, latency_model_of
from compress.bench.node_profile import profile_nodes
from compress.bench.precision import PrecisionTimes, conversion_rate, layer_edges
from compress.models.layers import Layer

Edge = tuple[str, str, int]
"""Layer, layer that reads it, by how much a pool between them shrinks the image."""


@dataclass(frozen=True)
class MixedModel:
    """Latency of one topology on one machine, every layer in float32 or in INT8."""

    floats: LatencyModel
    int8: LatencyModel
    conversion: float
    """Seconds per value that passes between layers of different precision."""
    edges: tuple[Edge, ...]

    @property
    def largest_error(self) -> float:
        """The worst leave-one-out error of both precisions, as a positive share."""
        return max(self.floats.largest_error, self.int8.largest_error)

    def predict(self, layers: Sequence[Layer]) -> float:
        """Seconds per batch in the fastest mix of precisions.

        layers: float layers of any widths, in their order; some may be gone, and what they passed on is read by
        those behind them. Raises what `LatencyModel.predict` raises.
        """
        there = frozenset(layer.name for layer in layers)
        if there not in self._graphs:
            edges = without(self.edges, {layer.name for layer in self.floats.layers} - there)
            at = {layer.name: index for index, layer in enumerate(layers)}
            pairs = tuple((at[maker], at[reader], shrink) for maker, reader, shrink in edges)
            self._graphs[there] = pairs, Choices(len(layers), [pair[:2] for pair in pairs])
        pairs, choices = self._graphs[there]
        apart = [self._converting(layers[maker], shrink) for maker, _, shrink in pairs]
        return self.int8.overhead + choices.least(self._seconds(layers), apart)

    def times(self, layers: Sequence[Layer]) -> PrecisionTimes:
        """Every layer in both precisions, for `PrecisionTimes.slower`. Raises what `predict` raises."""
        both, known = self._seconds(layers), {layer.name: layer for layer in layers}
        edges = without(self.edges, {layer.name for layer in self.floats.layers} - known.keys())
        return PrecisionTimes(
            {layer.name: seconds[0] for layer, seconds in zip(layers, both, strict=True)},
            {layer.name: seconds[1] for layer, seconds in zip(layers, both, strict=True)},
            {(maker, reader): self._converting(known[maker], shrink) for maker, reader, shrink in edges},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps` and `from_json`."""
        return records.as_json(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MixedModel:
        """The model that `to_json` wrote. Raises `DataError` naming the first fault."""
        return records.from_json(cls, value, what="a latency model of two precisions", cure="Measure it again.")

    @cached_property
    def _graphs(self) -> dict[frozenset[str], tuple[tuple[tuple[int, int, int], ...], Choices]]:
        """Which layers are there -> what passes between them, and the choices on that graph."""
        return {}

    def _seconds(self, layers: Sequence[Layer]) -> list[tuple[float, float]]:
        """Of each layer in float and in INT8; what is gone is asked for at its old widths, and not counted."""
        there = {layer.name: layer for layer in layers}
        every = [there.get(layer.name, layer) for layer in self.floats.layers]
        both = zip(
            self.floats.seconds_per_layer(every),
            self.int8.seconds_per_layer([spread(layer) for layer in every]),
            strict=True,
        )
        return [seconds for layer, seconds in zip(every, both, strict=True) if layer.name in there]

    def _converting(self, maker: Layer, shrink: int) -> float:
        return self.conversion * maker.outputs * maker.positions * self.int8.batch / shrink


def measure_mixed_model(
    floats: Sequence[Path],
    int8: Sequence[Path],
    *,
    size: tuple[int, int],
    batch: int = 1,
    provider: str = "cpu",
    threads: int | None = None,
    rounds: int = 40,
) -> MixedModel:
    """Profile sample networks (the dense one first) and the INT8 file of each, all in turn, at `size` (H, W).

    Raises what `measure_latency_model` raises.
    """
    paths = [*floats, *int8]
    profiles = profile_nodes(paths, size=size, batch=batch, provider=provider, threads=threads, rounds=rounds)
    half = len(floats)
    conditions = {"size": size, "batch": batch, "provider": provider, "threads": threads}
    ours = latency_model_of(floats, profiles[:half], **conditions)
    theirs = latency_model_of(int8, profiles[half:], **conditions)
    rate = float(np.median([conversion_rate(profile.nodes) for profile in profiles[half:]]))
    passing = layer_edges(onnx.load(int8[0]), [layer.name for layer in theirs.layers])
    return MixedModel(ours, theirs, rate, tuple((*pair, shrink) for pair, shrink in passing.items()))


def spread(layer: Layer) -> Layer:
    """The layer as INT8 files have it: a transposed convolution whose steps do not overlap is a plain one."""
    if layer.kind != "transposed" or layer.positions != layer.sweeps * layer.kernel or layer.groups != 1:
        return layer
    outputs = layer.outputs * layer.kernel
    return replace(layer, kind="conv", outputs=outputs, kernel=1, positions=layer.sweeps)


def without(edges: Sequence[Edge], gone: set[str]) -> tuple[Edge, ...]:
    """What passes between the other layers when some are gone: what reads one of these reads what came before it."""
    left = list(edges)
    for name in gone:
        before = [edge for edge in left if edge[1] == name]
        behind = [edge for edge in left if edge[0] == name]
        left = [edge for edge in left if name not in edge[:2]]
        left += [(first, last, one * two) for first, _, one in before for _, last, two in behind]
    return tuple(dict.fromkeys(left))
