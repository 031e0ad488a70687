"""Channel groups: all the tensor dimensions that must lose the same index together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.errors import PlanError
from compress.models.modules import other_names
from compress.prune.call import layer_of
from compress.prune.entries import Dimension, Entries, Role
from compress.prune.graph import Example, follow

ASKED_FOR = "the caller asked for it"
SILENCED = ("filter", "bias", "scale", "shift")
"""Roles that become zero when a channel is masked instead of removed."""


@dataclass(frozen=True, eq=False)
class Member:
    """Dimension `dim` of `tensor`: unit u of the group owns the entries `index[u]` of it."""

    tensor: str
    """Name in the state dict; a module's name for the role "attribute"."""
    dim: int
    role: Role
    index: np.ndarray
    """(units, entries per unit) int64."""
    size: int
    """Length of the whole dimension, of which other groups may own parts."""

    def to_json(self) -> dict[str, Any]:
        """Runs of neighbours, which nearly all are, are written by their first index."""
        start, each = int(self.index[0, 0]), int(self.index.shape[1])
        run = np.arange(start, start + self.index.size).reshape(self.index.shape)
        place = {"start": start, "each": each} if np.array_equal(run, self.index) else {"index": self.index.tolist()}
        return {"tensor": self.tensor, "dim": self.dim, "role": self.role, "size": self.size, **place}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, width: int) -> Member:
        if "index" in value:
            index = np.array(value["index"], np.int64)
        else:
            index = np.arange(width * value["each"]).reshape(width, value["each"]) + value["start"]
        return cls(value["tensor"], value["dim"], value["role"], index, value["size"])


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that can leave one by one, each with everything that is tied to it."""

    name: str
    """Module name of the first layer that makes them, such as "layer1.0.conv2"."""
    width: int
    """How many units can leave: channels, or whole groups of a grouped convolution or GroupNorm."""
    members: tuple[Member, ...]

    @property
    def per_unit(self) -> int:
        """Channels of the first filter that leave with one unit."""
        return int(self.members[0].index.shape[1])

    @property
    def channels(self) -> int:
        """Channels of the first filter that belong to the group."""
        return self.width * self.per_unit

    @property
    def block(self) -> str:
        """The block of the layer: "layer1.0" for "layer1.0.conv2"; a layer of another name is its own block."""
        head, _, last = self.name.partition("[")[0].rpartition(".")
        return head if last.startswith("conv") and head else self.name


@dataclass(frozen=True)
class Whole:
    """Channels of one layer that no plan may touch."""

    name: str
    channels: int
    reason: str


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """What can be pruned in a network, and what cannot with the reason."""

    groups: tuple[Group, ...]
    whole: tuple[Whole, ...]


def find_groups(network: nn.Module, example: Example, *, ignore: Sequence[str] = ()) -> ChannelGroups:
    """Every prunable group in order of execution, and everything that is left whole.

    example: input (N, C, ...) or a tuple of inputs. ignore: module names (with all that is below them)
    whose outputs shall stay. Raises `PlanError` when the network cannot be traced.
    """
    entries = follow(network, example)
    _ignore(network, entries, ignore)
    classes = _classes(entries)
    groups = _named([_group(entries, key, members) for key, members in classes.items()])
    faults = {g.name: _why_whole(g) for g in groups}
    whole = [*_whole(entries), *(Whole(g.name, g.channels, faults[g.name]) for g in groups if faults[g.name])]
    whole += _unreached(network, entries)
    whole += [Whole(type(network).__name__, 0, note) for note in entries.notes]
    return ChannelGroups(tuple(g for g in groups if not faults[g.name]), tuple(whole))


def ignoring(network: nn.Module, found: ChannelGroups, names: Sequence[str]) -> ChannelGroups:
    """The same groups without those of which a filter lies in one of these modules; as `find_groups` with `ignore`."""
    names = _all_names(network, names)
    asked = [g for g in found.groups if any(m.role == "filter" and _lies_in(m.tensor, names) for m in g.members)]
    return leaving(found, {g.name: ASKED_FOR for g in asked})


def leaving(found: ChannelGroups, reasons: Mapping[str, str]) -> ChannelGroups:
    """The same groups without those that `reasons` names, which are whole for what it says."""
    whole = [Whole(g.name, g.channels, reasons[g.name]) for g in found.groups if g.name in reasons]
    return ChannelGroups(tuple(g for g in found.groups if g.name not in reasons), (*found.whole, *whole))


def _why_whole(group: Group) -> str:
    if not any(m.role == "consumer" for m in group.members):
        return "nothing that could be followed consumes them"
    return "they can only leave together" if group.width == 1 else ""


def _unreached(network: nn.Module, entries: Entries) -> list[Whole]:
    """Layers that the example does not run through: their inputs are not cut when what feeds them is."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    used = {id(parameters[name]) for name in entries.used if name in parameters}
    runs = {id(m) for name, m in network.named_modules(remove_duplicate=False) if name in entries.reached}
    idle = [
        (name, m.weight.shape[0])
        for name, m in network.named_modules()
        if isinstance(m, nn.modules.conv._ConvNd | nn.Linear) and id(m.weight) not in used and id(m) not in runs
    ]
    return [Whole(name, channels, "the example does not reach it") for name, channels in idle]


def _ignore(network: nn.Module, entries: Entries, names: Sequence[str]) -> None:
    names = _all_names(network, names)
    for dimension in entries.dimensions.values():
        if dimension.role == "filter" and _lies_in(dimension.tensor, names):
            entries.freeze(dimension.ids, ASKED_FOR)


def _all_names(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Every name of these modules; `PlanError` for one that the network does not have."""
    known = {name for name, _ in network.named_modules(remove_duplicate=False)}
    for name in names:
        if name not in known:
            raise PlanError(f"ignore names '{name}', which the network does not have.")
    return [other for name in names for other in other_names(network, name)]


def _lies_in(tensor: str, names: Sequence[str]) -> bool:
    return any(f"{tensor}.".startswith(f"{name}.") for name in names)


_Site = tuple[str, int]


def _classes(entries: Entries) -> dict[tuple[Any, ...], list[dict[_Site, list[int]]]]:
    """Units that touch the same dimensions the same number of times form one group."""
    units: dict[int, dict[_Site, list[int]]] = defaultdict(lambda: defaultdict(list))
    for site, dimension in entries.dimensions.items():
        for index, root in enumerate(entries.roots(dimension.ids).tolist()):
            if root not in entries.reasons:
                units[root][site].append(index)
    roles = {site: d.role for site, d in entries.dimensions.items()}
    grouped: dict[tuple[Any, ...], list[dict[_Site, list[int]]]] = defaultdict(list)
    for sites in units.values():
        if any(roles[site] == "filter" for site in sites):
            key = tuple((*site, roles[site], len(index)) for site, index in sites.items())
            grouped[key].append(sites)
    return grouped


def _group(entries: Entries, key: tuple[Any, ...], units: list[dict[_Site, list[int]]]) -> Group:
    first = next((tensor, dim) for tensor, dim, role, _ in key if role == "filter")
    units = sorted(units, key=lambda sites: sites[first])
    members = [
        Member(t, d, role, np.array([sites[t, d] for sites in units], np.int64), len(entries.dimensions[t, d].ids))
        for t, d, role, _ in key
    ]
    # The filter that names the group comes first; the order of the others is that of execution.
    members.sort(key=lambda m: (m.tensor, m.dim) != first)
    return Group(layer_of(first[0]) or first[0], len(units), tuple(members))


def _named(groups: list[Group]) -> list[Group]:
    """Parts of one layer's channels that live apart are told apart by their range: conv[0:32]."""
    names = [g.name for g in groups]
    taken: set[str] = set()
    result = []
    for group in groups:
        name = group.name
        if names.count(name) > 1:
            index = group.members[0].index
            name = f"{name}[{index.min()}:{index.max() + 1}]"
        while name in taken:
            name += "'"
        taken.add(name)
        result.append(Group(name, group.width, group.members))
    return result


def _whole(entries: Entries) -> list[Whole]:
    found: dict[tuple[str, str], int] = {}
    for dimension in entries.dimensions.values():
        if dimension.role == "filter":
            _count_frozen(entries, dimension, found)
    return [Whole(name, count, reason) for (name, reason), count in found.items()]


def _count_frozen(entries: Entries, dimension: Dimension, found: dict[tuple[str, str], int]) -> None:
    name = layer_of(dimension.tensor) or dimension.tensor
    for root in entries.roots(dimension.ids).tolist():
        if root in entries.reasons:
            key = (name, entries.reasons[root])
            found[key] = found.get(key, 0) + 1


def sliced(
    tensors: Mapping[str, torch.Tensor], groups: Sequence[Group], kept: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """`tensors` with every group reduced to its `kept` units; the values themselves are untouched.

    Raises `PlanError` when `kept` misses a group, is empty or has indices outside of the group.
    """
    result = dict(tensors)
    for (name, dim), gone in removed(groups, kept).items():
        if name in result and dim >= 0:
            result[name] = without(result[name], {dim: gone})
    return result


def without(tensor: torch.Tensor, gone: Mapping[int, np.ndarray]) -> torch.Tensor:
    """A copy of `tensor` that lacks the indices `gone` of each dimension."""
    result = tensor.detach()
    for dim, index in gone.items():
        stays = np.setdiff1d(np.arange(result.shape[dim]), index)
        result = result.index_select(dim, torch.from_numpy(stays).to(result.device))
    return result.clone()


def removed(
    groups: Sequence[Group], kept: Mapping[str, Sequence[int]], *, roles: Sequence[str] | None = None
) -> dict[_Site, np.ndarray]:
    """(tensor, dim) -> the indices of that dimension that leave, ascending."""
    found: dict[_Site, list[np.ndarray]] = defaultdict(list)
    for group in groups:
        gone = np.setdiff1d(np.arange(group.width), checked(group, kept))
        for member in group.members:
            if roles is None or member.role in roles:
                found[member.tensor, member.dim].append(member.index[gone].ravel())
    return {site: np.unique(np.concatenate(parts)) for site, parts in found.items()}


def checked(group: Group, kept: Mapping[str, Sequence[int]]) -> np.ndarray:
    """The kept units of a group as an array; `PlanError` unless they fit it."""
    if group.name not in kept:
        raise PlanError(f"The plan says nothing about {group.name}.")
    index = np.asarray(kept[group.name], dtype=np.int64)
    if index.size == 0 or index.min() < 0 or index.max() >= group.width or len(set(index.tolist())) != index.size:
        raise PlanError(f"The plan's kept indices of {group.name} do not fit its {group.width} channels.")
    return index
