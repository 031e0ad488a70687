"""A latency model of two precisions whose times are made up: few channels at full resolution are slow in INT8."""

from __future__ import annotations

from collections.abc import Sequence

from compress.bench.layer_costs import LatencyModel
from compress.bench.layer_fit import FEATURES
from compress.bench.mixed import Edge, MixedModel, spread
from compress.models.layers import Layer

LAYERS = (
    Layer("first", "conv", 1, 16, 9, 1600, 1, 1600),
    Layer("second", "conv", 16, 32, 9, 400, 1, 400),
    Layer("up", "transposed", 32, 16, 4, 1600, 1, 400),
    Layer("head", "conv", 32, 4, 1, 1600, 1, 1600),
)
EDGES: tuple[Edge, ...] = (("first", "second", 4), ("second", "up", 1), ("up", "head", 1), ("first", "head", 1))


def made_up_model(layers: Sequence[Layer] = LAYERS, edges: Sequence[Edge] = EDGES) -> MixedModel:
    """Float32: a nanosecond per multiply-add. INT8: a quarter of it, and as much for every value that is written."""

    def table(found: Sequence[Layer], work: float, value: float) -> LatencyModel:
        rows = [
            {
                "narrow": work * x.kernel * x.positions,
                "work": work * x.kernel * x.sweeps,
                "outputs": value * x.positions,
            }
            for x in found
        ]
        return LatencyModel(
            layers=tuple(found),
            coefficients=tuple(tuple(row.get(name, 0.0) for name in FEATURES) for row in rows),
            overhead=1e-5,
            input_steps=(1,) * len(found),
            output_steps=(1,) * len(found),
            samples=(),
            provider="cpu",
            block=1,
            threads=1,
            cpu="made up",
            onnxruntime="0",
            batch=1,
            size=(40, 40),
        )

    return MixedModel(table(layers, 1e-9, 0.0), table([spread(x) for x in layers], 2.5e-10, 1e-8), 1e-10, tuple(edges))
