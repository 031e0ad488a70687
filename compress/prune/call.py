"""One operation of a traced graph with the values that arrive at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from compress.prune.entries import Entries, Role
from compress.prune.values import (
    Ids,
    Laid,
    Part,
    Stored,
    along,
    collapse,
    entries_of,
    squeezed,
    unknown,
    varying,
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

    def attributes(self, count: int, *, like: Sequence[str] = ()) -> list[str]:
        """Names of whole-number attributes of the running module that hold a count, as "module.attribute".

        like: only those whose name holds one of these. Where heads are counted, nothing else with that number is.
        """
        module = dict(self.network.named_modules(remove_duplicate=False)).get(self.where, self.network)
        names = [n for n, v in vars(module).items() if type(v) is int and v == count and count > 1]
        names = [n for n in names if not like or any(part in n for part in like)]
        heads = [n for n in names if "head" in n and not any(word in n for word in ("dim", "size", "channels"))]
        prefix = "" if module is self.network else f"{self.where}."
        return [prefix + name for name in (heads or names)]

    def give_up(self, why: str) -> Any:
        """Freeze every channel that arrives; the results are unknown."""
        if self.belongs_to(nn.MultiheadAttention):
            why = "nn.MultiheadAttention takes the size of its heads from the width of its stream"
        for value in self.flat():
            for ids in self._followed(value):
                self.entries.freeze(entries_of(ids), f"{why} (in {self.where})")
        result = self.node.meta.get("val")
        if isinstance(result, list | tuple):
            return [unknown(r.shape) if isinstance(r, torch.Tensor) else None for r in result]
        return unknown(result.shape) if isinstance(result, torch.Tensor) else None

    def _followed(self, value: Any) -> list[Ids]:
        if isinstance(value, torch.Tensor):
            return [value]
        return [part.ids for part in self.lay(value).parts] if isinstance(value, Stored | Laid) else []

    def lay(self, value: Stored | Laid) -> Laid:
        """A parameter as what can be moved and computed with."""
        if isinstance(value, Laid):
            return value
        wide = [dim for dim, size in enumerate(value.shape) if size > 1]
        own = {d: self.entries.dimension(value.name, d, value.shape[d], self._role(value, wide, d)) for d in wide}
        return Laid(value.shape, tuple(Part(value.name, d, along(ids, d, value.shape)) for d, ids in own.items()))

    def _role(self, value: Stored, wide: list[int], dim: int) -> Role:
        """For criteria and messages; a weight that turns out to be one is cast where it is used."""
        owner = dict(self.network.named_modules(remove_duplicate=False)).get(layer_of(value.name))
        if len(wide) > 1 and isinstance(owner, _ConvNd | nn.Linear) and dim < 2:
            return "filter" if dim == int(getattr(owner, "transposed", False)) else "consumer"
        return "scale" if len(wide) == 1 and _multiplies(self.node) else "shift"

    def replacing(self, old: Any, new: Any) -> Call:
        """The same operation with another value for one of its arguments."""
        args = [new if value is old else value for value in self.args]
        kwargs = {name: new if value is old else value for name, value in self.kwargs.items()}
        return Call(self.entries, self.network, self.node, args, kwargs)

    def fix(self, ids: Ids, dims: set[int]) -> Ids | None:
        """`ids` with size 1 along `dims`, which never shrink from now on: for each index of the others, all that
        lies along `dims` leaves together. None when nothing else varies: then nothing could leave at all."""
        rest = varying(ids) - dims
        if varying(ids) & dims and not rest:
            return None
        small = squeezed(ids)
        order = [*(d for d in range(ids.ndim) if d not in dims), *sorted(dims)]
        width = math.prod(small.shape[d] for d in dims)
        self.entries.unite_rows(small.permute(order).reshape(-1, width).numpy(), f"{self.name} joins them")
        for dim in dims:
            ids = ids.narrow(dim, 0, 1)
        return ids

    def channels(self, ids: Ids, dim: int = 1) -> np.ndarray:
        """One entry per index of `dim`."""
        return collapse(self.entries, ids, dim, f"{self.name} mixes them (in {self.where})")

    def attach(self, stored: Any, ids: np.ndarray, role: Role, dim: int = 0) -> bool:
        """Tie a parameter's dimension to entries; False when it is not a plain parameter."""
        if stored is None:
            return True
        if isinstance(stored, Laid) and (part := stored.along(dim)) is not None:
            self.entries.unite(
                self.channels(part.ids, dim), ids, f"they meet channels that must stay (in {self.where})"
            )
            self.entries.cast(part.name, part.dim, role)
            return True
        if not isinstance(stored, Stored):
            self.entries.freeze(ids, f"a parameter of {self.where} is computed from all of them before it is used")
            return False
        own = self.entries.dimension(stored.name, dim, len(ids), role)
        self.entries.unite(own, ids, f"they meet channels that must stay (in {self.where})")
        return True


def layer_of(tensor: str) -> str:
    """The module that a parameter belongs to: "0" for "0.weight" and for "0.parametrizations.weight.original1"."""
    return tensor.partition(".parametrizations.")[0] if ".parametrizations." in tensor else tensor.rpartition(".")[0]


def _multiplies(node: fx.Node) -> bool:
    """Whether the first arithmetic that a moved parameter meets is a product."""
    for user in [node, *node.users]:
        name = str(user.target).partition(".")[2]
        if name.startswith(("mul", "div", "add", "sub")):
            return name.startswith(("mul", "div"))
    return False


def as_ids(value: Any) -> Ids | None:
    """The value if it is a followed tensor."""
    return value if isinstance(value, torch.Tensor) else None
