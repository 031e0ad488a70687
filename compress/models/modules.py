"""What pruning, training and export need of any nn.Module: copies, modes, tensors by name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """A deep copy of a network that shares nothing with it.

    Some networks keep activations of their last forward pass as attributes (MONAI's DynUNet its heads);
    after training these belong to a graph, which `copy.deepcopy` refuses: the copy gets their values.
    """
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in _activations(network)}
    return copy.deepcopy(network, memo)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module has the mode that it had, frozen norms included."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def named_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by every name that it has."""
    return {
        **dict(network.named_buffers(remove_duplicate=False)),
        **dict(network.named_parameters(remove_duplicate=False)),
    }


def other_names(network: nn.Module, name: str) -> list[str]:
    """Every name of the module called `name`, of what is in it and of modules that share its weights; `name` first."""
    modules = dict(network.named_modules(remove_duplicate=False))
    inside = [m for n, m in modules.items() if n == name or n.startswith(f"{name}.")]
    weights = {id(w) for m in inside if (w := _weight(m)) is not None}
    same = [n for n, m in modules.items() if any(m is each for each in inside) or id(_weight(m)) in weights]
    return list(dict.fromkeys([name, *same]))


def _weight(module: nn.Module) -> torch.Tensor | None:
    return module._parameters.get("weight")


def _activations(network: nn.Module) -> Iterator[torch.Tensor]:
    for module in network.modules():
        for value in vars(module).values():
            yield from _tensors(value)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
