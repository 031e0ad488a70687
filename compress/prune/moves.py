"""How operations that move, join and cut tensors without computing treat the channels that arrive."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.prune.call import Call
from compress.prune.entries import FROZEN
from compress.prune.values import Derived, Ids, Laid, Stored, along, compact, entries_of, unknown, varying


def moved(call: Call) -> Any:
    """Operations that only move data are run on the entries themselves."""
    if any(isinstance(v, Stored | Laid | Derived) for v in call.flat()):
        return call.give_up(f"{call.name} joins them with parameters")
    result = call.node.target(*_dense(call.args), **_dense(call.kwargs))  # pyright: ignore[reportCallIssue]
    return compact(result) if isinstance(result, torch.Tensor) else [compact(r) for r in result]


def _dense(value: Any) -> Any:
    """`view` needs memory that really exists."""
    if isinstance(value, torch.Tensor):
        return value.contiguous()
    if isinstance(value, dict):
        return {k: _dense(v) for k, v in value.items()}
    return type(value)(_dense(v) for v in value) if isinstance(value, list | tuple) else value


def chunk(call: Call) -> Any:
    """Equal parts: the same place of every part leaves together, so that the parts stay equal."""
    x, parts = call.args[0], int(call.args[1])
    dim = int(call.get("dim", 1 if call.name == "channel_shuffle" else 0)) % x.ndim
    if dim in varying(x):
        if x.shape[dim] % parts:
            return call.give_up(f"{call.name} makes unequal parts")
        places = call.channels(x, dim).reshape(parts, -1)
        call.entries.unite_rows(places.T, f"{call.name} needs equal parts (in {call.where})")
    return moved(call)


def joined(call: Call) -> Any:
    """Concatenation and stacking: along all other dimensions the pieces have to stay alike."""
    pieces, new = list(call.args[0] if call.args else call.kwargs["tensors"]), call.name == "stack"
    dim = int(call.get("dim", 0)) % len(call.shape)
    ids = [p for p in pieces if isinstance(p, torch.Tensor)]
    others = {d for p in ids for d in varying(p) if new or d != dim}
    for each in others:
        shared = _stay_alike(call, pieces, ids, each)
        pieces = [along(shared, each, p.shape) if _along(call, p, each) else p for p in pieces]
    filled = [p if isinstance(p, torch.Tensor) else _constant(call, p, dim, others, new) for p in pieces]
    return compact((torch.stack if new else torch.cat)([_dense(p) for p in filled], dim))


def _stay_alike(call: Call, pieces: list[Any], ids: list[Ids], dim: int) -> np.ndarray:
    """One entry per index of `dim`, the same for all pieces from now on."""
    rows = [call.channels(p, dim) for p in ids if dim in varying(p)]
    for value in pieces:
        part = call.lay(value).along(dim) if isinstance(value, Stored | Laid) else None
        if part is not None:
            rows.append(call.channels(part.ids, dim))
        elif not isinstance(value, torch.Tensor) or entries_of(value).tolist() == [FROZEN]:
            call.entries.freeze(rows[0], f"{call.name} joins them with a constant (in {call.where})")
    for row in rows[1:]:
        call.entries.unite(rows[0], row, f"{call.name} joins them with channels that must stay (in {call.where})")
    return rows[0]


def _along(call: Call, value: Any, dim: int) -> bool:
    if not isinstance(value, Stored | Laid):
        return isinstance(value, torch.Tensor) and varying(value) == {dim}
    parts = call.lay(value).parts
    return len(parts) == 1 and varying(parts[0].ids) == {dim}


def _constant(call: Call, value: Any, dim: int, others: set[int], new: bool) -> Ids:
    """Entries of a piece that is no image: those it shares with the others, or places that never leave."""
    if isinstance(value, Stored | Laid):
        laid = call.lay(value)
        shared = [part for d in others if (part := laid.along(d)) is not None]
        for part in laid.parts:
            if part not in shared:
                call.entries.freeze(entries_of(part.ids), f"{call.name} takes them as places (in {call.where})")
        if shared:
            return shared[0].ids
    if new or others:
        return unknown(value.shape)
    fixed = call.entries.fresh(value.shape[dim])
    call.entries.freeze(fixed, "they are constants")
    return along(fixed, dim, value.shape)


def glu(call: Call) -> Any:
    """One half gates the other: the same place of both leaves together."""
    x, dim = call.args[0], int(call.get("dim", -1)) % call.args[0].ndim
    if dim in varying(x):
        call.entries.unite_rows(call.channels(x, dim).reshape(2, -1).T, f"{call.name} needs equal halves")
        x = along(call.channels(x, dim), dim, x.shape)
    return compact(x.narrow(dim, 0, x.shape[dim] // 2))


def placed(call: Call) -> Any:
    """Split, slice, narrow: equal parts shrink alike, as code that asks for a share of the channels has it, others
    with the attribute of the module that counts them. A trial of the plan finds code with a number in it out."""
    x, dim = call.args[0], int(call.get("dim", 0)) % call.args[0].ndim
    result = moved(call)
    if dim not in varying(x) or (isinstance(result, torch.Tensor) and torch.equal(result, x)):
        return result
    bounds = _bounds(call, x.shape[dim], result, dim)
    if varying(x) != {dim} or bounds is None:
        return call.give_up(f"{call.name} takes them by their places")
    places = call.channels(x, dim)
    counted = [_counted(call, places[a:b]) for a, b in bounds]
    size = bounds[0][1] - bounds[0][0]
    equal = all(b - a == size and a % size == 0 for a, b in bounds) and len(places) % size == 0
    if equal and 1 < size < len(places):
        call.entries.unite_rows(places.reshape(-1, size).T, f"{call.name} needs equal parts (in {call.where})")
    elif not all(counted):
        return call.give_up(f"{call.name} takes them by their places")
    return moved(call)


def _bounds(call: Call, width: int, result: Any, dim: int) -> list[tuple[int, int]] | None:
    """Where each part begins and ends; None for slices with steps."""
    if call.name in ("slice", "narrow"):
        if int(call.get("step", 1)) != 1:
            return None
        start = int(call.get("start") or 0)
        start = start + width if start < 0 else start
        return [(start, start + result.shape[dim])]
    ends = np.cumsum([part.shape[dim] for part in result]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _counted(call: Call, places: np.ndarray) -> bool:
    """Tie places to the attributes of the running module that hold their number."""
    names = call.attributes(len(places))
    for name in names:
        own = call.entries.dimension(name, -1, len(places), "attribute")
        call.entries.unite(own, places, "they meet channels that must stay")
    return bool(names)


def picked(call: Call) -> Any:
    """Select, unbind, roll: the code names the places of what it takes, and would miss those that left."""
    x = call.args[0]
    dims = call.get("dims", call.get("dim", 0))
    dims = {d % x.ndim for d in ((dims or range(x.ndim)) if isinstance(dims, list | tuple) else [dims])}
    if varying(x) & dims and call.fix(x, dims) is None:
        return call.give_up(f"{call.name} takes them by their places")
    return moved(call)


def reshaped(call: Call) -> Any:
    """View: channels may be merged with pixels. Of a dimension that is cut up one factor shrinks: the heads of
    attention, else the last, as in a channel shuffle; whether the code lets it, a trial tells."""
    x, result = call.args[0], moved(call)
    if not isinstance(result, torch.Tensor):
        return result
    before, after = varying(x), sorted(varying(result))
    if len(after) <= len(before):
        _merged(call, x, result)
        return result
    sizes = [result.shape[d] for d in after]
    if len(before) != 1 or math.prod(sizes) != x.shape[next(iter(before))]:
        return call.give_up(f"{call.name} cuts them into parts")
    shrinks = after[-2] if feeds_attention(call.node) else after[-1]
    small = call.fix(result, set(after) - {shrinks})
    assert small is not None
    _counted(call, call.channels(small, shrinks))
    return compact(along(call.channels(small, shrinks), shrinks, result.shape))


def _merged(call: Call, x: Ids, result: Ids) -> None:
    """Heads laid side by side: modules often keep the product, under one of these names."""
    (old,) = varying(x) if len(varying(x)) == 1 else (None,)
    (new,) = varying(result) if len(varying(result)) == 1 else (None,)
    if old is None or new is None or result.shape[new] == x.shape[old]:
        return
    for name in call.attributes(result.shape[new], like=("all_head", "inner", "attn_dim")):
        own = call.entries.dimension(name, -1, result.shape[new], "attribute")
        call.entries.unite(own, call.channels(result, new), "they meet channels that must stay")


def feeds_attention(node: fx.Node) -> bool:
    """Whether what was cut goes, moved and scaled only, into a product of two tensors."""
    seen, open_nodes = set(), [node]
    while open_nodes:
        each = open_nodes.pop()
        for user in each.users:
            name = str(user.target).removeprefix("aten.").partition(".")[0]
            if name in _PRODUCTS:
                return True
            if (name in _CARRIES or user.target is operator.getitem) and user not in seen:
                seen.add(user)
                open_nodes.append(user)
    return False


_PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention"}
_CARRIES = {
    *("view", "reshape", "transpose", "permute", "contiguous", "clone", "select", "unbind"),
    *("split", "split_with_sizes", "chunk", "mul", "div", "unsqueeze", "squeeze", "flatten"),
    *("unflatten", "softmax", "slice", "relu", "expand", "to", "_to_copy"),
}


def pixel_shuffle(call: Call) -> Ids:
    """All channels that become the pixels of one square leave together."""
    return along(call.channels(moved(call)), 1, call.shape)
