"""Copies of networks that survive what training leaves behind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
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
