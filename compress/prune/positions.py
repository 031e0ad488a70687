"""How operations that compute on every position or channel alone treat the channels that arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from compress.prune.call import Call
from compress.prune.entries import Role
from compress.prune.values import (
    Derived,
    Ids,
    Laid,
    Part,
    Stored,
    along,
    combine,
    entries_of,
    squeezed,
    varying,
)


def elementwise(call: Call) -> Ids:
    """One result per position: operands that vary along the same dimension leave together."""
    result: Ids | None = None
    for value in call.flat():
        if isinstance(value, torch.Tensor):
            why = f"{call.name} joins them with channels that must stay (in {call.where})"
            result = value if result is None else combine(call.entries, result, value, call.shape, why)
    assert result is not None
    result = result.expand(list(call.shape))
    for value in call.flat():
        if isinstance(value, Stored | Laid | Derived):
            _parameter_operand(call, result, value)
    return result


def _parameter_operand(call: Call, ids: Ids, value: Stored | Laid | Derived) -> None:
    """`x * gamma` or `x + shift`: the parameter's dimension along the channels shrinks with them."""
    if isinstance(value, Laid):
        return _laid_operand(call, ids, value)
    lead = ids.ndim - len(value.shape)
    touched = [d for d in varying(ids) if d >= lead and value.shape[d - lead] > 1]
    if not touched:
        return
    if isinstance(value, Derived) or len(touched) > 1:
        call.entries.freeze(entries_of(ids), f"{call.name} with a computed constant (in {call.where})")
        return
    role: Role = "scale" if call.name in ("mul", "div") else "shift"
    call.attach(value, call.channels(ids, touched[0]), role, touched[0] - lead)


def _laid_operand(call: Call, ids: Ids, value: Laid) -> None:
    """The same for a parameter that was moved first; what lies along other dimensions stays."""
    lead = ids.ndim - len(value.shape)
    for dim in varying(ids):
        if dim < lead or value.shape[dim - lead] == 1:
            continue
        part = value.along(dim - lead)
        if part is None or len(varying(ids)) > 1:
            call.entries.freeze(entries_of(ids), f"{call.name} with a computed constant (in {call.where})")
        else:
            own = call.channels(part.ids, dim - lead)
            call.entries.unite(own, call.channels(ids, dim), f"they meet channels that must stay (in {call.where})")
    for part in value.parts:
        if not {d + lead for d in varying(part.ids)} <= varying(ids):
            call.entries.freeze(entries_of(part.ids), f"{call.name} lays them along other dimensions (in {call.where})")


def parameters_meet(call: Call) -> Laid:
    """An element-wise operation on parameters alone: what lies along one dimension leaves together."""
    values = [v for v in call.flat() if isinstance(v, Stored | Laid | Derived)]
    laid = [call.lay(v) if isinstance(v, Stored | Laid) else Laid(v.shape, ()) for v in values]
    found = []
    for dim in range(len(call.shape)):
        at = [(v, dim - len(call.shape) + len(v.shape)) for v in laid]
        own = [(v.along(d), d) for v, d in at if d >= 0 and v.shape[d] > 1]
        parts = [(part, d) for part, d in own if part is not None]
        rows = [call.channels(part.ids, d) for part, d in parts]
        if len(parts) == len(own) and parts:
            for row in rows[1:]:
                call.entries.unite(rows[0], row, f"they meet channels that must stay (in {call.where})")
            found.append(Part(parts[0][0].name, parts[0][0].dim, along(rows[0], dim, call.shape)))
        else:
            for row in rows:
                call.entries.freeze(row, f"{call.name} with a computed constant (in {call.where})")
    return Laid(call.shape, tuple(found))


def unpool(call: Call) -> Ids:
    """Values and the places that they came from: those of one channel leave together."""
    x, places = call.args[0], call.args[1]
    if not isinstance(places, torch.Tensor):
        return call.give_up(f"{call.name} with computed places")
    call.entries.unite(call.channels(x), call.channels(places), f"they meet channels that must stay (in {call.where})")
    return along(call.channels(x), 1, call.shape)


def spatial(call: Call) -> Any:
    """Pooling, interpolation, spatial padding: every channel is treated alone."""
    ids = call.channels(call.args[0])
    return _everywhere(call, along(ids, 1, call.shape))


def _everywhere(call: Call, ids: Ids) -> Any:
    """The same entries for every result of an operation with several (max pooling with indices)."""
    result = call.node.meta.get("val")
    return [ids for _ in result] if isinstance(result, list | tuple) else ids


def pad(call: Call) -> Ids:
    x, amounts = call.args[0], list(call.args[1])
    if len(amounts) <= 2 * (x.ndim - 2):
        return spatial(call)
    before, after = amounts[2 * (x.ndim - 2)], amounts[2 * (x.ndim - 2) + 1]
    if min(before, after) < 0 or len(amounts) > 2 * (x.ndim - 1):
        return call.give_up("padding of the batch, or cropping of channels")
    zeros = [call.entries.fresh(before), call.channels(x), call.entries.fresh(after)]
    for ids in (zeros[0], zeros[2]):
        call.entries.freeze(ids, "they are padding")
    return along(np.concatenate(zeros), 1, call.shape)


def reduced(call: Call) -> Any:
    """Mean, sum or maximum over dimensions along which the channel does not change."""
    x, dims = call.args[0], call.get("dim")
    if isinstance(call.get("other"), torch.Tensor | Stored | Laid | Derived):  # torch.max of two tensors
        return elementwise(call)
    chosen = {d % x.ndim for d in ([dims] if isinstance(dims, int) else dims or range(x.ndim))}
    x = call.fix(x, chosen) if varying(x) & chosen else x
    if x is None:
        return call.give_up(f"{call.name} runs over the channels")
    keep = bool(call.get("keepdim", False))
    small = squeezed(x)
    for dim in sorted(chosen, reverse=True):
        small = small if keep else small.squeeze(dim)
    return _everywhere(call, small.expand(list(call.shape)))


def running(call: Call) -> Any:
    """Softmax and its like: along one dimension that keeps its size."""
    x = call.args[0]
    if int(call.get("dim", -1)) % x.ndim in varying(x):
        return call.give_up(f"{call.name} runs over the channels")
    return _everywhere(call, x)


def same(call: Call) -> Ids:
    return call.args[0]


def nothing(call: Call) -> None:
    return None
