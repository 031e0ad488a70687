"""Cutting a network in place: its tensors, and the counts that its modules keep of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from compress.prune.groups import Group, removed, without


def resize(network: nn.Module, groups: Sequence[Group], kept: Mapping[str, Sequence[int]]) -> None:
    """Remove every unit that is not `kept` from a network's parameters and buffers, in place.

    A tensor that several modules share stays shared. Raises `PlanError` when `kept` does not fit.
    """
    owners = _owners(network)
    before = {name: owners[name][0].get(owners[name][1]) for name in owners}
    cuts = removed(groups, kept)
    shapes = {name: tuple(t.shape) for name, t in before.items() if t is not None}
    replaced: dict[int, torch.Tensor] = {}
    for name in {tensor for tensor, dim in cuts if dim >= 0}:
        old = before[name]
        assert old is not None
        replaced[id(old)] = _cut(old, {dim: gone for (tensor, dim), gone in cuts.items() if tensor == name})
    for name, tensor in before.items():
        if id(tensor) in replaced:
            owner, key = owners[name]
            owner[key] = replaced[id(tensor)]
    _update_counts(network, shapes, cuts)


def _owners(network: nn.Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Tensor name -> the table of the module that holds it; every alias of a module under its own name."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, module in network.named_modules(remove_duplicate=False):
        for table in (module._parameters, module._buffers):
            for key, value in table.items():
                if value is not None:
                    found[f"{prefix}.{key}" if prefix else key] = (table, key)
    return found


def _cut(tensor: torch.Tensor, gone: Mapping[int, np.ndarray]) -> torch.Tensor:
    result = without(tensor, gone)
    return nn.Parameter(result, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else result


def _update_counts(
    network: nn.Module, shapes: Mapping[str, tuple[int, ...]], cuts: Mapping[tuple[str, int], np.ndarray]
) -> None:
    for name, module in network.named_modules():
        lost = len(cuts.get((name, -1), ()))
        shape = shapes.get(f"{name}.weight" if name else "weight")
        for kind, update in _COUNTS:
            if isinstance(module, kind):
                update(module, shape, lost)
                break
    modules = dict(network.named_modules(remove_duplicate=False))
    for (name, dim), gone in cuts.items():
        if dim == -1 and name not in modules:  # an attribute of a module of its own kind, such as `num_heads`
            owner, _, attribute = name.rpartition(".")
            setattr(modules[owner], attribute, getattr(modules[owner], attribute) - len(gone))


def _convolution(module: Any, shape: tuple[int, ...], lost: int) -> None:
    first, second = module.weight.shape[:2]
    if module.groups > 1:  # whole groups left: both sides shrank by the same share
        module.groups = module.groups * first // shape[0]
    if module.transposed:
        module.in_channels, module.out_channels = first, second * module.groups
    else:
        module.in_channels, module.out_channels = second * module.groups, first


def _linear(module: Any, shape: tuple[int, ...], lost: int) -> None:
    module.out_features, module.in_features = module.weight.shape


def _norm(module: Any, shape: tuple[int, ...] | None, lost: int) -> None:
    known = module.weight if module.weight is not None else module.running_mean
    module.num_features = len(known) if known is not None else module.num_features - lost


def _group_norm(module: Any, shape: tuple[int, ...] | None, lost: int) -> None:
    after = len(module.weight) if module.weight is not None else module.num_channels - lost
    module.num_groups = module.num_groups * after // module.num_channels
    module.num_channels = after


def _prelu(module: Any, shape: tuple[int, ...], lost: int) -> None:
    module.num_parameters = len(module.weight)


_COUNTS: list[tuple[Any, Callable[[Any, Any, int], None]]] = [
    (nn.modules.conv._ConvNd, _convolution),
    (nn.Linear, _linear),
    (_NormBase, _norm),
    (nn.GroupNorm, _group_norm),
    (nn.PReLU, _prelu),
]
"""Modules that keep a count of channels beside their tensors, and how it is brought up to date."""
