"""What a network costs at widths that it does not have yet, without building it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from compress.errors import PlanError
from compress.models.layers import Layer
from compress.models.modules import evaluating
from compress.prune.graph import Example, inputs_of
from compress.prune.groups import Group


def layers_of(network: nn.Module, example: Example) -> tuple[Layer, ...]:
    """Convolutions, transposed convolutions and linear layers in the order of execution.

    The network runs once on zeros in evaluation mode; example: input (N, C, ...) or a tuple of inputs,
    of which one sample counts. A layer that is called twice appears twice.
    """
    names = {module: name for name, module in network.named_modules()}
    found: list[Layer] = []

    def record(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        found.append(_describe(names[module], module, inputs[0], output))

    watched = [module for module in names if isinstance(module, _ConvNd | nn.Linear)]
    hooks = [module.register_forward_hook(record) for module in watched]
    device = next((p.device for p in network.parameters()), None)
    try:
        with evaluating(network), torch.inference_mode():
            network(*(torch.zeros_like(x[:1] if x.ndim else x, device=device) for x in inputs_of(example)))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(found)


def _describe(name: str, module: Any, image: torch.Tensor, output: torch.Tensor) -> Layer:
    if isinstance(module, nn.Linear):
        sizes, kernel, groups = (module.in_features, module.out_features), 1, 1
        kind, positions = "linear", prod(output.shape[1:-1])
        sweeps = positions
    else:
        sizes, kernel, groups = (module.in_channels, module.out_channels), prod(module.kernel_size), module.groups
        kind, positions = "transposed" if module.transposed else "conv", prod(output.shape[2:])
        sweeps = prod(image.shape[2:]) if module.transposed else positions
    return Layer(name, kind, *sizes, kernel, positions, groups, sweeps)


class Shapes:
    """A network's layers as functions of how many units of each group are kept."""

    def __init__(self, network: nn.Module, example: Example, groups: Sequence[Group]) -> None:
        """Raises `PlanError` when a group lives in a weight that no convolution or linear layer holds."""
        self.layers = layers_of(network, example)
        """The layers of the network as it is."""
        self.widths = {g.name: g.width for g in groups}
        _check_owners(network, groups)
        row, sizes = _tensor_rows(network)
        self._sizes = np.ones((len(sizes), max((len(s) for s in sizes), default=1)), np.int64)
        for own, size in zip(self._sizes, sizes, strict=True):
            own[: len(size)] = size
        self._loss = _losses(groups, row, self._sizes.shape)
        self._weights = [row[f"{layer.name}.weight"] for layer in self.layers]
        self._uses = np.array([layer.sweeps * layer.kernel for layer in self.layers], np.int64)
        self._seen: dict[tuple[int, int, int], Layer] = {}

    def at(self, kept: Mapping[str, int]) -> tuple[Layer, ...]:
        """The layers when group g keeps `kept[g]` units; groups that are not named stay whole."""
        return tuple(self._layer(i, *pair) for i, pair in enumerate(self._pairs(kept).tolist()))

    def parameters(self, kept: Mapping[str, int]) -> int:
        """All parameters of the network, norms included, at these widths."""
        sizes = self._sizes - np.tensordot(self._gone(kept), self._loss, axes=1)
        return int(sizes.prod(axis=1).sum())

    def macs(self, kept: Mapping[str, int]) -> int:
        """Multiply-adds of its layers for one image at these widths."""
        return int((self._pairs(kept).prod(axis=1) * self._uses).sum())

    def _gone(self, kept: Mapping[str, int]) -> np.ndarray:
        return np.array([width - kept.get(name, width) for name, width in self.widths.items()], np.int64)

    def _pairs(self, kept: Mapping[str, int]) -> np.ndarray:
        """(layers, 2): the first two dimensions of every layer's weight, the only ones that pruning changes."""
        gone = np.tensordot(self._gone(kept), self._loss[:, self._weights, :2], axes=1)
        return self._sizes[self._weights, :2] - gone

    def _layer(self, number: int, first: int, second: int) -> Layer:
        key = (number, first, second)
        if key not in self._seen:
            self._seen[key] = _resized(self.layers[number], first, second)
        return self._seen[key]


def _resized(layer: Layer, first: int, second: int) -> Layer:
    """The layer with other sizes of its weight's first two dimensions."""
    before = layer.inputs if layer.kind == "transposed" else layer.outputs
    groups = layer.groups * first // before if layer.groups > 1 else 1  # of a grouped one whole groups leave
    inputs, outputs = (first, second * groups) if layer.kind == "transposed" else (second * groups, first)
    return replace(layer, inputs=inputs, outputs=outputs, groups=groups)


def _losses(groups: Sequence[Group], row: Mapping[str, int], shape: tuple[int, ...]) -> np.ndarray:
    """(groups, tensors, dimensions): the entries that leave each dimension with one unit."""
    loss = np.zeros((len(groups), *shape), np.int64)
    for number, group in enumerate(groups):
        for member in group.members:
            if member.tensor in row and member.dim >= 0:  # buffers and counts cost nothing
                loss[number, row[member.tensor], member.dim] = member.index.shape[1]
    return loss


def _tensor_rows(network: nn.Module) -> tuple[dict[str, int], list[tuple[int, ...]]]:
    """Name (every alias) -> row, and the shape of each row's parameter; a shared one has one row."""
    first: dict[int, int] = {}
    row = {n: first.setdefault(id(p), len(first)) for n, p in network.named_parameters(remove_duplicate=False)}
    return row, [tuple(p.shape) for p in network.parameters()]


def _check_owners(network: nn.Module, groups: Sequence[Group]) -> None:
    weighted = (_ConvNd, nn.Linear)
    known = {f"{n}.weight" for n, m in network.named_modules(remove_duplicate=False) if isinstance(m, weighted)}
    for group in groups:
        for member in group.members:
            if member.role in ("filter", "consumer") and member.tensor not in known:
                raise PlanError(
                    f"The cost of {member.tensor} is unknown: no convolution or linear layer holds it.",
                    cure="Name its module in `ignore`, or call it through nn.Conv2d or nn.Linear.",
                )
