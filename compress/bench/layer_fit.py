"""Fitting what every layer costs: small non-negative models of ONNX Runtime's CPU kernels.

A layer has its own time, and the time of the nodes after it that have no weights (reorders, pools,
concatenations). The features follow the kernels: channels are padded to vector blocks, and a
convolution computes four output blocks at once, of which a last lone block wastes a part. Fewer channels than a block
are computed by other kernels, whose time falls with the width. The fastest of all rounds
is fitted: on a busy machine the median tells of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from compress.bench.node_profile import NodeProfile, match_layers
from compress.models.layers import Kind, Layer

FEATURES = (
    *("constant", "work", "lone", "padded", "few", "narrow", "columns"),
    *("inputs", "outputs", "ragged_outputs", "ragged_inputs"),
)
OWN: Mapping[Kind, tuple[str, ...]] = {
    "conv": ("constant", "work", "lone", "padded", "few", "narrow", "columns"),
    "transposed": ("constant", "work", "inputs", "outputs"),
    "linear": ("constant", "work", "inputs", "outputs"),
}
"""What a layer's own time depends on."""
AFTER = ("constant", "outputs", "ragged_outputs")
"""What the time until the next layer depends on, beside `BEFORE` of that next layer."""
BEFORE = ("inputs", "ragged_inputs")
_PASS = 4
"""Output blocks that the convolution kernel computes at once."""
_RESOLUTION = 1e-6
"""Seconds: the step of ONNX Runtime's profile; shorter times are not fitted closer than this."""


def features(layers: Sequence[Layer], inputs: np.ndarray, outputs: np.ndarray, *, block: int) -> np.ndarray:
    """Channels (networks, layers) -> (networks, layers, len(FEATURES)); `layers` gives what widths do not change."""
    conv = np.array([layer.kind == "conv" for layer in layers])
    plain = inputs / np.array([layer.groups for layer in layers])  # input channels per output channel
    few = plain < block  # such a convolution reads unblocked images
    blocked = ~conv | (outputs >= block)  # fewer channels are not padded to a block but multiplied as a plain matrix
    read = np.where(few | ~conv, plain, _ceil(plain, block))
    written = np.where(conv, _ceil(outputs, block), outputs)
    lone = conv & (written // block % _PASS == 1)
    columns = {
        "constant": np.ones(inputs.shape),
        "work": read * written * blocked,
        "lone": read * lone * blocked,
        "padded": written * blocked,
        "few": written * few * blocked,
        "narrow": plain * outputs * ~blocked,
        "columns": inputs * ~blocked,
        "inputs": inputs,
        "outputs": outputs,
        "ragged_outputs": _ceil(outputs, block) * (outputs % block > 0),
        "ragged_inputs": _ceil(inputs, block) * (inputs % block > 0),
    }
    return np.stack([columns[name] for name in FEATURES], axis=-1)


@dataclass(frozen=True)
class Measured:
    """Features and times of sample networks; arrays begin with (samples, layers)."""

    layers: Sequence[Layer]
    inputs: np.ndarray
    outputs: np.ndarray
    table: np.ndarray
    """Features, (samples, layers, features)."""
    own: np.ndarray
    """Seconds of the layers' own nodes."""
    after: np.ndarray
    """Seconds of the nodes without weights between a layer's node and the next layer's."""
    following: np.ndarray
    """Per layer the one whose node runs next, -1 for the last. (layers,)"""
    wall: np.ndarray
    """Seconds of the fastest run, (samples,)."""

    @classmethod
    def gather(cls, layers: Sequence[Sequence[Layer]], profiles: Sequence[NodeProfile], *, block: int) -> Measured:
        """Join layers and profiles, one of each per sample. Raises `ModelFileError` when a layer has no node."""
        widths = np.array([[(layer.inputs, layer.outputs) for layer in found] for found in layers])
        inputs, outputs = widths[..., 0], widths[..., 1]
        split = [split_by_layer(found, profile) for found, profile in zip(layers, profiles, strict=True)]
        return cls(
            layers=layers[0],
            inputs=inputs,
            outputs=outputs,
            table=features(layers[0], inputs, outputs, block=block),
            own=np.array([own for own, _, _ in split]),
            after=np.array([after for _, after, _ in split]),
            following=split[0][2],
            wall=np.array([min(profile.wall) for profile in profiles]),
        )

    def fit(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Coefficients (layers, features) and the overhead in seconds, from the samples in `rows`.

        Non-negative least squares on relative errors, layer by layer; at last the sum of all nodes is
        fitted to the wall time.
        """
        coefficients = np.zeros(self.table.shape[1:])
        for index, layer in enumerate(self.layers):
            columns = _columns(OWN[layer.kind])
            coefficients[index, columns] += _solve(self.table[rows, index][:, columns], self.own[rows, index])
            self._fit_after(coefficients, index, rows)
        nodes = np.einsum("slf,lf->s", self.table[rows], coefficients)
        scale, overhead = _solve(np.stack([nodes, np.ones(len(rows))], axis=1), self.wall[rows])
        return coefficients * scale, float(overhead)

    def _fit_after(self, coefficients: np.ndarray, index: int, rows: np.ndarray) -> None:
        after, before, following = _columns(AFTER), _columns(BEFORE), self.following[index]
        known = [self.table[rows, index][:, after]]
        if following >= 0:
            known.append(self.table[rows, following][:, before])
        found = _solve(np.concatenate(known, axis=1), self.after[rows, index])
        coefficients[index, after] += found[: len(after)]
        if following >= 0:
            coefficients[following, before] += found[len(after) :]


def split_by_layer(layers: Sequence[Layer], profile: NodeProfile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds of each layer's node, seconds after it, and which layer follows; the first also gets what precedes it."""
    owner = {node: layer for layer, node in enumerate(match_layers(layers, profile.nodes))}
    own, after, following = np.zeros(len(layers)), np.zeros(len(layers)), np.full(len(layers), -1)
    last = first = owner[min(owner)]
    for index, node in enumerate(profile.nodes):
        if index not in owner:
            after[last] += node.fastest
            continue
        own[owner[index]] = node.fastest
        if owner[index] != first:
            following[last] = owner[index]
        last = owner[index]
    return own, after, following


def _solve(columns: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Non-negative coefficients with the least squared RELATIVE error."""
    weights = 1 / np.maximum(seconds, _RESOLUTION)
    scale = np.maximum(columns.max(axis=0), 1e-300)  # features differ by six orders of magnitude
    found, _ = nnls(columns / scale * weights[:, None], seconds * weights, maxiter=1000)
    return found / scale


def _columns(names: Sequence[str]) -> list[int]:
    return [FEATURES.index(name) for name in names]


def _ceil(channels: np.ndarray, block: int) -> np.ndarray:
    return np.ceil(channels / block) * block
