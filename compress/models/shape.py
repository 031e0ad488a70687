"""The shape of a pruned network as data: which of its tensors and counts differ from those of the network it came from.

It lets any architecture be stored after pruning: build the dense network, take on the shape, fill in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from compress.errors import ConfigError
from compress.models.modules import named_tensors

Shape = dict[str, dict[str, Any]]
"""{"tensors": {name: sizes}, "counts": {"module.attribute": whole number}}."""


def shape_of(network: nn.Module, dense: nn.Module) -> Shape:
    """How `network`, which was cut from one like `dense`, differs from it."""
    before, after = named_tensors(dense), named_tensors(network)
    tensors = {name: list(t.shape) for name, t in after.items() if t.shape != before[name].shape}
    counts, now = _counts(dense), _counts(network)
    return {"tensors": tensors, "counts": {name: value for name, value in now.items() if counts.get(name) != value}}


def take_on(network: nn.Module, shape: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a dense network the shape that `shape_of` told; its cut tensors are then empty of weights.

    Raises `ConfigError` when the network has no such tensors and counts.
    """
    modules = dict(network.named_modules())
    for name, sizes in shape.get("tensors", {}).items():
        owner, _, key = name.rpartition(".")
        table = _table(modules.get(owner), key, name)
        old = table[key]
        if len(sizes) != old.dim() or any(not 0 < n <= m for n, m in zip(sizes, old.shape, strict=True)):
            raise ConfigError(f"{name} has the shape {tuple(old.shape)}; {sizes} is no cut of it.")
        new = torch.zeros(sizes, dtype=old.dtype)
        table[key] = nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new
    known = _counts(network)
    for name, value in shape.get("counts", {}).items():
        owner, _, key = name.rpartition(".")
        if name not in known or type(value) is not int or not 0 < value <= known[name]:
            raise ConfigError(f"The network has no count {name} that could be {value!r}.")
        setattr(modules[owner], key, value)


def _table(module: nn.Module | None, key: str, name: str) -> dict[str, Any]:
    for table in (module._parameters, module._buffers) if module is not None else ():
        if table.get(key) is not None:
            return table
    raise ConfigError(f"The network has no tensor {name}.")


def _counts(network: nn.Module) -> dict[str, int]:
    """Every whole number that a module keeps as an attribute."""
    return {
        f"{prefix}.{key}" if prefix else key: value
        for prefix, module in network.named_modules()
        for key, value in vars(module).items()
        if type(value) is int
    }
