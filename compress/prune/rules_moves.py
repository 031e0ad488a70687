"""Operations that move, join and cut tensors without computing."""

from __future__ import annotations

from typing import Any

import torch

from compress.prune.call import Call
from compress.prune.values import (
    Derived,
    Ids,
    Stored,
    along,
    compact,
    varying,
)


def moved(call: Call) -> Any:
    """Operations that only move data are run on the entries themselves."""
    if any(isinstance(v, Stored | Derived) for v in call.flat()):
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


def placed(call: Call) -> Any:
    """Split, slice, select, roll: the code names the places of what it takes, and would miss those that left."""
    x = call.args[0]
    dims = call.get("dims", call.get("dim", 0))
    dims = {d % x.ndim for d in ((dims or range(x.ndim)) if isinstance(dims, list | tuple) else [dims])}
    result = moved(call)
    if varying(x) & dims and not (isinstance(result, torch.Tensor) and torch.equal(result, x)):
        return call.give_up(f"{call.name} takes them by their places")
    return result


def reshaped(call: Call) -> Any:
    """View: channels may be merged with pixels, but which part of a dimension that is cut up shrinks is unknown."""
    result = moved(call)
    if isinstance(result, torch.Tensor) and len(varying(result)) > len(varying(call.args[0])):
        return call.give_up(f"{call.name} cuts them into parts")
    return result


def pixel_shuffle(call: Call) -> Ids:
    """All channels that become the pixels of one square leave together."""
    return along(call.channels(moved(call)), 1, call.shape)
