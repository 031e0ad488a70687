"""What flows along the edges of a traced graph while its channels are followed.

A followed tensor is an int64 tensor of the SAME shape that holds, at every position, the entry
(`compress.prune.entries`) of the channel it belongs to. Operations that only move data are then
followed by running them on the entries themselves. Dimensions along which the entries do not change
are expanded (stride 0), so the memory stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from compress.prune.entries import FROZEN, Entries

Ids = torch.Tensor


@dataclass(frozen=True)
class Stored:
    """A parameter or buffer by its name in the state dict."""

    name: str
    shape: tuple[int, ...]

    @property
    def module(self) -> str:
        """Name of the module that owns it; the parameter's own name at the root."""
        return self.name.rpartition(".")[0] or self.name


@dataclass(frozen=True)
class Derived:
    """A value computed from parameters or constants: it has no entries of its own."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """Dimension `dim` of parameter `name`: its entry at every position of what was made of the parameter."""

    name: str
    dim: int
    ids: Ids


@dataclass(frozen=True, eq=False)
class Laid:
    """A parameter that was moved or computed with before it is used. Dimensions without a part do not shrink."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    def along(self, dim: int) -> Part | None:
        """The part whose entries change along `dim` alone."""
        return next((p for p in self.parts if varying(p.ids) == {dim}), None)


def along(ids: np.ndarray, dim: int, shape: Sequence[int]) -> Ids:
    """Entries (shape[dim],) spread over a tensor of `shape`."""
    view = [1] * len(shape)
    view[dim] = len(ids)
    return torch.from_numpy(np.array(ids, np.int64)).view(view).expand(list(shape))


def unknown(shape: Sequence[int]) -> Ids:
    """A tensor whose channels could not be followed."""
    return torch.full([1] * len(shape), FROZEN, dtype=torch.int64).expand(list(shape))


def squeezed(ids: Ids) -> Ids:
    """`ids` with every dimension along which nothing changes cut to size 1."""
    for dim in range(ids.ndim):
        if ids.shape[dim] > 1:
            first = ids.narrow(dim, 0, 1)
            if ids.stride(dim) == 0 or bool((ids == first).all()):
                ids = first
    return ids


def compact(ids: Ids) -> Ids:
    """The same values, expanded along every dimension that does not change them."""
    return squeezed(ids).expand(ids.shape)


def varying(ids: Ids) -> set[int]:
    """Dimensions along which the entries change."""
    return {dim for dim, size in enumerate(squeezed(ids).shape) if size > 1}


def entries_of(ids: Ids) -> np.ndarray:
    """Every entry that occurs, without order."""
    return np.unique(squeezed(ids).numpy())


def collapse(entries: Entries, ids: Ids, dim: int, why: str) -> np.ndarray:
    """Entries (size of dim,): all that occur at one index of `dim` leave together from now on."""
    rows = squeezed(ids)
    if rows.shape[dim] != ids.shape[dim]:
        rows = rows.expand([s if d == dim else r for d, (s, r) in enumerate(zip(ids.shape, rows.shape, strict=True))])
    table = rows.movedim(dim, 0).reshape(ids.shape[dim], -1).numpy()
    entries.unite_rows(table, why)
    return table[:, 0].copy()


def combine(entries: Entries, a: Ids, b: Ids, shape: Sequence[int], why: str) -> Ids:
    """The entries of an element-wise operation on two tensors that broadcast to `shape`."""
    a, b = a.expand(list(shape)), b.expand(list(shape))
    for one, other in ((a, b), (b, a)):
        if entries_of(one).tolist() == [FROZEN]:
            entries.freeze(entries_of(other), why)
            return unknown(shape)
    over_a, over_b = varying(a), varying(b)
    if over_a & over_b or not (over_a | over_b):
        small_a, small_b = torch.broadcast_tensors(squeezed(a), squeezed(b))
        entries.unite(small_a.numpy(), small_b.numpy(), why)
        return a if over_a >= over_b else b
    if not over_a or over_b:
        entries.freeze(entries_of(a), "one channel of this layer scales several channels of another")
    if not over_b or over_a:
        entries.freeze(entries_of(b), "one channel of this layer scales several channels of another")
    if over_a and over_b:
        return unknown(shape)
    return a if over_a else b
