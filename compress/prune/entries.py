"""Which entries of which tensors must leave together: a union-find over parameter dimensions.

Every channel-like dimension of a parameter or buffer owns one entry per index. Operations of the
network unite entries; entries that must stay are frozen with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Role = Literal["filter", "bias", "scale", "shift", "slope", "statistic", "consumer", "attribute"]
"""What an entry is to its channel: the filter that makes it, its norm, or the next layer's input slice.
"attribute" marks a count that a module without parameters keeps (`InstanceNorm2d.num_features`)."""

FROZEN = 0
"""The entry of channels that could not be followed: whatever meets it stays."""


@dataclass(frozen=True, eq=False)
class Dimension:
    """One dimension of one tensor: entry `ids[i]` stands for its index i."""

    tensor: str
    dim: int
    role: Role
    ids: np.ndarray


class Entries:
    """Grows while a network is followed; read by `compress.prune.groups` afterwards."""

    def __init__(self) -> None:
        self.parent: list[int] = [FROZEN]
        self.reasons: dict[int, str] = {FROZEN: "they could not be followed"}
        self.dimensions: dict[tuple[str, int], Dimension] = {}
        self.used: set[str] = set()
        """Parameters and buffers that some operation reads."""
        self.reached: set[str] = set()
        """Modules that run."""
        self.notes: list[str] = []
        """What else a reader of the result should know."""

    def dimension(self, tensor: str, dim: int, size: int, role: Role) -> np.ndarray:
        """Entries (size,) of a tensor's dimension: the same ones whenever the tensor is used again."""
        key = (tensor, dim)
        if key not in self.dimensions:
            self.dimensions[key] = Dimension(tensor, dim, role, self.fresh(size))
        return self.dimensions[key].ids

    def cast(self, tensor: str, dim: int, role: Role) -> None:
        """What a dimension is to its channels, once that is known."""
        self.dimensions[tensor, dim] = replace(self.dimensions[tensor, dim], role=role)

    def fresh(self, size: int) -> np.ndarray:
        """Entries (size,) that no tensor holds yet."""
        first = len(self.parent)
        self.parent += range(first, first + size)
        return np.arange(first, first + size)

    def root(self, entry: int) -> int:
        parent = self.parent
        while parent[entry] != entry:
            parent[entry] = parent[parent[entry]]
            entry = parent[entry]
        return entry

    def roots(self, ids: np.ndarray) -> np.ndarray:
        """Representatives of `ids`, in its shape."""
        values, inverse = np.unique(ids, return_inverse=True)
        return np.array([self.root(int(v)) for v in values])[inverse].reshape(ids.shape)

    def frozen(self, entry: int) -> bool:
        return self.root(entry) in self.reasons

    def freeze(self, ids: np.ndarray, reason: str) -> None:
        """These entries stay; the first reason given is the one that is reported."""
        for entry in np.unique(ids):
            self.reasons.setdefault(self.root(int(entry)), reason)

    def unite(self, a: np.ndarray, b: np.ndarray, why: str) -> None:
        """a[i] and b[i] leave together. Whatever meets a frozen entry is frozen, for the reason `why`."""
        for x, y in np.unique(np.stack([a.ravel(), b.ravel()], axis=1), axis=0):
            self._unite(self.root(int(x)), self.root(int(y)), why)

    def _unite(self, x: int, y: int, why: str) -> None:
        if x == y:
            return
        if FROZEN in (x, y):  # the shared entry itself never joins: its class would grow without bound
            self.reasons.setdefault(max(x, y), why)
            return
        low, high = min(x, y), max(x, y)
        self.parent[high] = low
        reason = self.reasons.pop(high, None)
        if reason is not None:
            self.reasons.setdefault(low, reason)

    def unite_rows(self, ids: np.ndarray, why: str) -> None:
        """All entries of each row of `ids` (rows, n) leave together."""
        if ids.shape[1] > 1:
            self.unite(np.broadcast_to(ids[:, :1], ids[:, 1:].shape), ids[:, 1:], why)
