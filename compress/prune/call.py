"""One operation of a traced graph with the values that arrive at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from compress.prune.entries import Entries, Role
from compress.prune.values import (
    Ids,
    Stored,
    collapse,
    entries_of,
    unknown,
)


class Call:
    """One operation with the values that arrive at it."""

    def __init__(
        self, entries: Entries, network: nn.Module, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        self.entries, self.network, self.node, self.args, self.kwargs = entries, network, node, args, kwargs
        schema = getattr(node.target, "_schema", None)
        self.name = schema.name.split("::")[-1].removesuffix("_") if schema is not None else str(node.target)
        self.parameters = [a.name for a in schema.arguments] if schema is not None else []

    def get(self, name: str, default: Any = None) -> Any:
        """An argument by its name in the operator's schema."""
        if name in self.kwargs:
            return self.kwargs[name]
        position = self.parameters.index(name) if name in self.parameters else len(self.args)
        return self.args[position] if position < len(self.args) else default

    def flat(self) -> list[Any]:
        """Every argument, lists opened."""
        values = [*self.args, *self.kwargs.values()]
        return [v for value in values for v in (value if isinstance(value, list | tuple) else [value])]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) result."""
        value = self.node.meta.get("val")
        value = value[0] if isinstance(value, list | tuple) else value
        return tuple(value.shape) if isinstance(value, torch.Tensor) else ()

    @property
    def where(self) -> str:
        """The module that runs this operation, for messages."""
        stack = self.node.meta.get("nn_module_stack") or {}
        return next((path for path, _ in reversed(list(stack.values())) if path), "the network")

    def belongs_to(self, kind: type[nn.Module]) -> bool:
        """Whether a module of this kind runs the operation; counts in other code cannot be brought up to date."""
        modules = dict(self.network.named_modules(remove_duplicate=False))
        return isinstance(modules.get(self.where, self.network), kind)

    def give_up(self, why: str) -> Any:
        """Freeze every channel that arrives; the results are unknown."""
        for value in self.flat():
            ids = as_ids(value)
            if ids is not None:
                self.entries.freeze(entries_of(ids), f"{why} (in {self.where})")
        result = self.node.meta.get("val")
        if isinstance(result, list | tuple):
            return [unknown(r.shape) if isinstance(r, torch.Tensor) else None for r in result]
        return unknown(result.shape) if isinstance(result, torch.Tensor) else None

    def channels(self, ids: Ids, dim: int = 1) -> np.ndarray:
        """One entry per index of `dim`."""
        return collapse(self.entries, ids, dim, f"{self.name} mixes them (in {self.where})")

    def attach(self, stored: Any, ids: np.ndarray, role: Role, dim: int = 0) -> bool:
        """Tie a parameter's dimension to entries; False when it is not a plain parameter."""
        if stored is None:
            return True
        if not isinstance(stored, Stored):
            self.entries.freeze(ids, f"a parameter of {self.where} is computed before it is used")
            return False
        own = self.entries.dimension(stored.name, dim, len(ids), role)
        self.entries.unite(own, ids, f"they meet channels that must stay (in {self.where})")
        return True


def as_ids(value: Any) -> Ids | None:
    """The value if it is a followed tensor."""
    return value if isinstance(value, torch.Tensor) else None
