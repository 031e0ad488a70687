"""Channel groups: all the tensor dimensions that must lose the same index together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from compress.errors import PlanError
from compress.prune.graph import ChannelFlow, Segments, trace_channels

Role = Literal["filter", "norm", "consumer"]


@dataclass(frozen=True)
class Member:
    """Dimension `dim` of `tensor`: entries offset .. offset + group width belong to the group."""

    tensor: str
    dim: int
    offset: int
    role: Role


@dataclass(frozen=True)
class Group:
    """The output channels of one convolution with everything that is tied to them."""

    name: str
    """Module name of the convolution, such as "encoders.1.conv2"."""
    width: int
    members: tuple[Member, ...]

    @property
    def block(self) -> str:
        """The block of the convolution: "encoders.1" for "encoders.1.conv2", "decoders.0" for itself."""
        head, _, last = self.name.rpartition(".")
        return head if last.startswith("conv") else self.name


def find_groups(network: nn.Module, *, in_channels: int) -> tuple[Group, ...]:
    """Every prunable group, in order of execution; channels that leave the network belong to none."""
    flow = trace_channels(network, in_channels=in_channels)
    members = _collect(network, flow)
    widths = {t.module: _out_width(network, t.module) for t in flow.convolutions}
    names = [t.module for t in flow.convolutions if t.module not in flow.outputs]
    return tuple(Group(name, widths[name], tuple(members[name])) for name in names)


def sliced(
    tensors: Mapping[str, torch.Tensor], groups: Sequence[Group], kept: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """`tensors` with every group reduced to its `kept` indices; the values themselves are untouched.

    Raises `PlanError` when `kept` misses a group, is empty or has indices outside of the group.
    """
    result = dict(tensors)
    for (name, dim), parts in _by_dimension(groups).items():
        index = _kept_index(result[name].shape[dim], parts, kept)
        result[name] = result[name].index_select(dim, index).clone()
    return result


def masked(
    tensors: Mapping[str, torch.Tensor], groups: Sequence[Group], kept: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """`tensors` of unchanged shape with removed channels silenced: the oracle for `sliced`.

    Filter, norm weight and norm bias become zero, so a removed channel is zero after its norm;
    convolutions without a norm lose their bias entry as well.
    """
    result = {name: tensor.clone() for name, tensor in tensors.items()}
    for group in groups:
        gone = torch.tensor(sorted(set(range(group.width)) - set(kept[group.name])), dtype=torch.long)
        for member in group.members:
            if member.role != "consumer" and not member.tensor.endswith(("running_mean", "running_var")):
                result[member.tensor].index_fill_(member.dim, gone + member.offset, 0.0)
    return result


def _collect(network: nn.Module, flow: ChannelFlow) -> dict[str, list[Member]]:
    members: dict[str, list[Member]] = {}
    for touch in flow.convolutions:
        module = network.get_submodule(touch.module)
        transposed = isinstance(module, nn.ConvTranspose2d)
        own = members.setdefault(touch.module, [])
        own.append(Member(f"{touch.module}.weight", 1 if transposed else 0, 0, "filter"))
        if module.bias is not None:
            own.append(Member(f"{touch.module}.bias", 0, 0, "filter"))
        _attach(members, touch.inputs, [f"{touch.module}.weight"], 0 if transposed else 1, "consumer")
    for touch in flow.norms:
        module = network.get_submodule(touch.module)
        parts = [p for p in ("weight", "bias", "running_mean", "running_var") if getattr(module, p) is not None]
        _attach(members, touch.inputs, [f"{touch.module}.{p}" for p in parts], 0, "norm")
    return members


def _attach(members: dict[str, list[Member]], segments: Segments, tensors: list[str], dim: int, role: Role) -> None:
    offset = 0
    for segment in segments:
        if segment.producer is not None:
            members[segment.producer] += [Member(t, dim, offset, role) for t in tensors]
        offset += segment.width


def _out_width(network: nn.Module, name: str) -> int:
    module = network.get_submodule(name)
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    return module.out_channels


def _by_dimension(groups: Sequence[Group]) -> dict[tuple[str, int], list[tuple[int, Group]]]:
    found: dict[tuple[str, int], list[tuple[int, Group]]] = {}
    for group in groups:
        for member in group.members:
            found.setdefault((member.tensor, member.dim), []).append((member.offset, group))
    return found


def _kept_index(length: int, parts: Sequence[tuple[int, Group]], kept: Mapping[str, Sequence[int]]) -> torch.Tensor:
    """Indices that stay of a dimension; entries that belong to no group always stay."""
    keep = np.ones(length, bool)
    for offset, group in parts:
        keep[offset : offset + group.width] = False
        keep[offset + _checked(group, kept)] = True
    return torch.from_numpy(np.flatnonzero(keep))


def _checked(group: Group, kept: Mapping[str, Sequence[int]]) -> np.ndarray:
    if group.name not in kept:
        raise PlanError(f"The plan says nothing about {group.name}.")
    index = np.asarray(kept[group.name], dtype=np.int64)
    if index.size == 0 or index.min() < 0 or index.max() >= group.width or len(set(index.tolist())) != index.size:
        raise PlanError(f"The plan's kept indices of {group.name} do not fit its {group.width} channels.")
    return index
