"""Following what is computed from parameters alone: scales that are viewed, weights that are normalised before use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from compress.prune.call import Call
from compress.prune.entries import FROZEN
from compress.prune.positions import elementwise, parameters_meet
from compress.prune.values import Derived, Ids, Laid, Part, Stored, entries_of, varying


def alone(call: Call, rule: Callable[[Call], Any] | None) -> Any:
    """The result of an operation into which no image flows. Each dimension of a parameter is followed on its own, by
    the rule that holds for images; dimensions over which it computes stay from now on."""
    values = [v for v in call.flat() if isinstance(v, Stored | Laid) and any(size > 1 for size in v.shape)]
    if not values:
        return _constants(call)
    if rule is elementwise:
        return parameters_meet(call)
    if call.name == "_weight_norm" and rule is not None:
        return rule(call)
    if len(values) > 1 or rule is None:
        call.give_up(f"{call.name} cannot be followed")
        return _constants(call)
    laid = call.lay(values[0])
    made = [(part, rule(call.replacing(values[0], part.ids))) for part in laid.parts]
    return _gathered(call, made)


def _gathered(call: Call, made: list[tuple[Part, Any]]) -> Any:
    value = call.node.meta.get("val")
    if not isinstance(value, list | tuple):
        return _laid(value, made)
    return [_laid(v, [(part, ids[i]) for part, ids in made]) for i, v in enumerate(value)]


def _laid(value: Any, made: list[tuple[Part, Ids | None]]) -> Any:
    if not isinstance(value, torch.Tensor):
        return None
    parts = [
        Part(part.name, part.dim, ids)
        for part, ids in made
        if ids is not None and varying(ids) and entries_of(ids).tolist() != [FROZEN]
    ]
    return Laid(tuple(value.shape), tuple(parts))


def _constants(call: Call) -> Any:
    value = call.node.meta.get("val")
    if isinstance(value, list | tuple):
        return [Derived(tuple(v.shape)) if isinstance(v, torch.Tensor) else None for v in value]
    return Derived(tuple(value.shape)) if isinstance(value, torch.Tensor) else None
