"""Predict the latency of a network of any widths from a handful of measured ones of the same topology.

ONNX Runtime's own time of every node is fitted layer by layer (`compress.bench.layer_fit`) and tied
to the wall time; every sample is also predicted from the others, so that a caller can show how far
to trust a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from compress import records
from compress.bench.layer_fit import Measured, features
from compress.bench.model_facts import network_layers
from compress.bench.node_profile import NodeProfile, profile_nodes
from compress.errors import ConfigError, InputError, ModelFileError
from compress.models.layers import Layer
from compress.runtime.machine import available_cores, cpu_model
from compress.runtime.providers import find_provider

LEAST_SAMPLES = 4
_SHARES = (1, 0.75, 0.5, 0.35, 0.25, 0.15, 0)
_TRIES = 10
"""Draws per mix: in small networks many settings coincide."""


@dataclass(frozen=True)
class Sample:
    """One measured network and how well the others predict it."""

    outputs: tuple[int, ...]
    """Width per layer."""
    seconds: float
    """Median wall time of a run without profiling."""
    leave_one_out_error: float
    """Predicted over measured, minus 1, by a model fitted without this sample."""


@dataclass(frozen=True)
class Conditions:
    """What samples were timed under."""

    provider: str
    block: int
    """Channels per vector block."""
    threads: int
    batch: int
    size: tuple[int, int]
    """(H, W)."""


@dataclass(frozen=True)
class LatencyModel:
    """Latency of one topology on one machine as a function of its widths."""

    layers: tuple[Layer, ...]
    """The first sample's, in the order that every prediction keeps."""
    coefficients: tuple[tuple[float, ...], ...]
    """Seconds per unit of each of `FEATURES`, a row per layer."""
    overhead: float
    """Seconds per run outside all nodes."""
    input_steps: tuple[int, ...]
    """Input channels of each layer must be multiples of this; 0 where the samples never varied them."""
    output_steps: tuple[int, ...]
    samples: tuple[Sample, ...]
    provider: str
    block: int
    """Channels per vector block."""
    threads: int
    cpu: str
    onnxruntime: str
    batch: int
    size: tuple[int, int]
    """(H, W)."""

    def predict(self, layers: Sequence[Layer]) -> float:
        """Seconds per batch of a network with these layers, of which only the widths may differ.

        A solver may call it often: layers of widths met before are looked up. Raises `InputError` for
        another topology or a width that the samples say nothing about.
        """
        return self.overhead + sum(self.seconds_per_layer(layers))

    def seconds_per_layer(self, layers: Sequence[Layer]) -> list[float]:
        """Seconds of each layer, with the nodes around it that have no weights. Raises what `predict` raises."""
        keys = [(i, layer.inputs, layer.outputs, *layer.family) for i, layer in enumerate(layers)]
        if len(layers) != len(self.layers) or any(key not in self._met for key in keys):
            self._check_topology(layers)
            inputs, outputs = np.array([(layer.inputs, layer.outputs) for layer in layers]).T
            self._met.update(zip(keys, self._seconds(inputs[None], outputs[None])[0].tolist(), strict=True))
        return [self._met[key] for key in keys]

    def predict_widths(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """inputs, outputs: channels (networks, layers) in the order of `layers` -> seconds (networks,).

        Raises `InputError` for a width that the samples say nothing about.
        """
        return self.overhead + self._seconds(np.asarray(inputs), np.asarray(outputs)).sum(axis=1)

    @property
    def largest_error(self) -> float:
        """The worst leave-one-out error, as a positive share."""
        return max(abs(sample.leave_one_out_error) for sample in self.samples)

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps` and `from_json`."""
        return records.as_json(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LatencyModel:
        """The model that `to_json` wrote. Raises `DataError` naming the first fault."""
        return records.from_json(cls, value, what="a latency model", cure="Measure it again.")

    @cached_property
    def _met(self) -> dict[tuple[Any, ...], float]:
        """Seconds of layers that were predicted before."""
        return {}

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients (layers, features), steps (2, layers) and the first sample's widths (2, layers)."""
        widths = np.array([(layer.inputs, layer.outputs) for layer in self.layers]).T
        return np.array(self.coefficients), np.array([self.input_steps, self.output_steps]), widths

    def _seconds(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """(networks, layers)."""
        coefficients, steps, measured = self._arrays
        for end, found, step, first in zip(("input", "output"), (inputs, outputs), steps, measured, strict=True):
            wrong = np.where(step == 0, found != first, found % np.maximum(step, 1) != 0) | (found < 1)
            if wrong.any():
                network, index = np.argwhere(wrong)[0]
                allowed = f"multiples of {step[index]}" if step[index] else f"{first[index]} only"
                raise InputError(
                    f"Layer {index} ({self.layers[index].name}) has {found[network, index]} {end} channels; "
                    f"the samples cover {allowed}.",
                    cure="Measure samples with such widths.",
                )
        return np.einsum("nlf,lf->nl", features(self.layers, inputs, outputs, block=self.block), coefficients)

    def _check_topology(self, layers: Sequence[Layer]) -> None:
        if len(layers) != len(self.layers):
            raise InputError(f"The latency model knows networks of {len(self.layers)} layers, not of {len(layers)}.")
        for index, (layer, known) in enumerate(zip(layers, self.layers, strict=True)):
            if layer.family != known.family:
                raise InputError(
                    f"Layer {index} is {layer}; the latency model measured {known} there.",
                    cure="Measure samples of this network.",
                )


def measure_latency_model(
    paths: Sequence[Path],
    *,
    size: tuple[int, int],
    batch: int = 1,
    provider: str = "cpu",
    threads: int | None = None,
    rounds: int = 40,
) -> LatencyModel:
    """Profile sample networks of one topology (the dense one first) and fit their latency at `size` (H, W).

    Times `rounds` runs of each, twice. Raises `ConfigError` for a provider whose node times mean
    nothing or too few samples, `ModelFileError` for files of different topologies.
    """
    _refuse(provider, len(paths))
    _layers_of(paths, size=size)  # refused before anything is timed
    profiles = profile_nodes(paths, size=size, batch=batch, provider=provider, threads=threads, rounds=rounds)
    return latency_model_of(paths, profiles, size=size, batch=batch, provider=provider, threads=threads)


def latency_model_of(
    paths: Sequence[Path],
    profiles: Sequence[NodeProfile],
    *,
    size: tuple[int, int],
    batch: int,
    provider: str,
    threads: int | None,
) -> LatencyModel:
    """Fit what `profile_nodes` measured of these files of one topology. Raises what `measure_latency_model` raises."""
    layers = _layers_of(paths, size=size)
    block = find_provider(provider).alignment
    return fit_latency_model(layers, profiles, Conditions(provider, block, threads or available_cores(), batch, size))


def _layers_of(paths: Sequence[Path], *, size: tuple[int, int]) -> list[Sequence[Layer]]:
    layers: list[Sequence[Layer]] = [network_layers(path, size=size) for path in paths]
    _check_topology(paths, layers)
    return layers


def fit_latency_model(
    layers: Sequence[Sequence[Layer]],
    profiles: Sequence[NodeProfile],
    conditions: Conditions,
) -> LatencyModel:
    """Fit what `profile_nodes` measured of networks with these layers.

    Raises `ModelFileError` when a layer has no node.
    """
    data = Measured.gather(layers, profiles, block=conditions.block)
    everything = np.arange(len(profiles))
    coefficients, overhead = data.fit(everything)
    errors = []
    for index in everything:
        others, rest = data.fit(np.delete(everything, index))
        errors.append(float(((data.table[index] * others).sum() + rest) / data.wall[index] - 1))
    steps = _steps(np.stack([data.inputs, data.outputs], axis=1))
    return LatencyModel(
        layers=tuple(layers[0]),
        coefficients=tuple(tuple(map(float, row)) for row in coefficients),
        overhead=overhead,
        input_steps=tuple(steps[0]),
        output_steps=tuple(steps[1]),
        samples=tuple(
            Sample(tuple(map(int, widths)), float(wall), error)
            for widths, wall, error in zip(data.outputs, data.wall, errors, strict=True)
        ),
        **vars(conditions),
        cpu=cpu_model(),
        onnxruntime=ort.__version__,
    )


def _steps(widths: np.ndarray) -> list[list[int]]:
    """widths (samples, 2, layers) -> (2, layers): the divisor of all widths that vary, 0 where one does not."""
    varied = (widths != widths[0]).any(axis=0)
    step = int(np.gcd.reduce(widths[:, varied], axis=None)) if varied.any() else 0
    return np.where(varied, step, 0).tolist()


def _refuse(provider: str, samples: int) -> None:
    if not find_provider(provider).times_layers:
        raise ConfigError(
            f"Latency cannot be predicted on '{provider}': a node's time there is that of its launch.",
            cure="Use a target in macs or params.",
        )
    if samples < LEAST_SAMPLES:
        raise ConfigError(f"A latency model needs {LEAST_SAMPLES} sample networks or more, got {samples}.")


def _check_topology(paths: Sequence[Path], layers: Sequence[Sequence[Layer]]) -> None:
    expected = [layer.family for layer in layers[0]]
    for path, found in zip(paths, layers, strict=True):
        if not found or [layer.family for layer in found] != expected:
            pairs = zip(found, layers[0], strict=False)
            fault = next((f"{a} instead of {b}" for a, b in pairs if a.family != b.family), f"{len(found)} layers")
            raise ModelFileError(f"{path} is not the network of {paths[0]} with other widths: it has {fault}.")


def sample_widths(
    dense: Sequence[int], *, alignment: int, below: int | None = None, mixes: int = 3, seed: int = 0
) -> tuple[tuple[int, ...], ...]:
    """Width settings worth measuring for groups of `dense` channels, the dense one first, each once.

    Uniform shares down to the smallest, every width below one multiple for all groups at once (other kernels compute
    them), and `mixes` with a share drawn for each group.
    Widths are multiples of `alignment`, below one of them multiples of `below` (default: none), or the dense width.
    Raises `ConfigError`.
    """
    least = alignment if below is None else below
    if alignment < 1 or least < 1 or not dense or min(dense) < 1:
        raise ConfigError(f"Widths {list(dense)}, alignment {alignment} and {least} below it must all be positive.")
    narrow = range(least, alignment, least)
    choices = [sorted({d, *(w for w in (*narrow, *range(alignment, d, alignment)) if w < d)}) for d in dense]
    floors = np.minimum(least / np.array(dense), 1.0)
    drawn = floors ** np.random.default_rng(seed).uniform(0, 1, (_TRIES * mixes, len(dense)))  # log-uniform
    goals = [*(share * np.array(dense) for share in _SHARES), *(np.full(len(dense), width) for width in narrow[::-1])]
    uniform = [_nearest(choices, goal) for goal in goals]
    mixed = [_nearest(choices, shares * dense) for shares in drawn]
    settled = len(dict.fromkeys(uniform))
    return tuple(dict.fromkeys(uniform + mixed))[: settled + mixes]


def _nearest(choices: Sequence[Sequence[int]], goals: np.ndarray) -> tuple[int, ...]:
    return tuple(min(found, key=lambda c, goal=goal: abs(c - goal)) for found, goal in zip(choices, goals, strict=True))
