"""Operations with parameters of their own: convolutions, linear layers and norms."""

from __future__ import annotations

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from compress.prune.call import Call
from compress.prune.values import (
    Ids,
    Stored,
    along,
)


def convolution(call: Call) -> Ids:
    """conv1d/2d/3d and their transposed forms. Whole groups of a grouped convolution leave together."""
    x, weight = call.get("input"), call.get("weight")
    groups = int(call.get("groups", 1))
    transposed = "transpose" in call.name or bool(call.get("transposed", False))
    arriving = call.channels(x)
    if not isinstance(weight, Stored):
        return call.give_up("its weight is computed before it is used")
    if groups == 1:
        call.attach(weight, arriving, "consumer", 0 if transposed else 1)
        made = call.entries.dimension(weight.name, 1 if transposed else 0, call.shape[1], "filter")
    elif not call.belongs_to(_ConvNd):
        return call.give_up("a grouped convolution outside of a module keeps its number of groups")
    else:
        made = _grouped(call, weight, arriving, groups, transposed)
    call.attach(call.get("bias"), made, "bias")
    return along(made, 1, call.shape)


def _grouped(call: Call, weight: Stored, arriving: np.ndarray, groups: int, transposed: bool) -> np.ndarray:
    if transposed:  # weight (inputs, outputs / groups): its second dimension never shrinks
        call.attach(weight, arriving, "filter", 0)
        made = call.entries.dimension(weight.module, -1, call.shape[1], "attribute")
    else:
        made = call.entries.dimension(weight.name, 0, call.shape[1], "filter")
    table = np.concatenate([arriving.reshape(groups, -1), made.reshape(groups, -1)], axis=1)
    call.entries.unite_rows(table, f"they meet channels that must stay (in {call.where})")
    return made


def linear(call: Call) -> Ids:
    """(..., inputs) -> (..., outputs)."""
    x, weight = call.get("input"), call.get("weight")
    if not isinstance(weight, Stored):
        return call.give_up("its weight is computed before it is used")
    call.attach(weight, call.channels(x, x.ndim - 1), "consumer", 1)
    made = call.entries.dimension(weight.name, 0, call.shape[-1], "filter")
    call.attach(call.get("bias"), made, "bias")
    return along(made, len(call.shape) - 1, call.shape)


def per_channel_norm(call: Call) -> Ids:
    """BatchNorm and InstanceNorm: one statistic per channel."""
    ids = call.channels(call.get("input"))
    call.attach(call.get("weight"), ids, "scale")
    call.attach(call.get("bias"), ids, "shift")
    call.attach(call.get("running_mean"), ids, "statistic")
    call.attach(call.get("running_var"), ids, "statistic")
    _count(call, ids)
    return along(ids, 1, call.shape)


def group_norm(call: Call) -> Ids:
    """Whole normalisation groups leave together: the statistics of those that stay do not change."""
    if not call.belongs_to(nn.GroupNorm):
        return call.give_up("group_norm outside of a module keeps its number of groups")
    ids = call.channels(call.get("input"))
    call.entries.unite_rows(ids.reshape(int(call.get("num_groups")), -1), f"GroupNorm mixes them (in {call.where})")
    call.attach(call.get("weight"), ids, "scale")
    call.attach(call.get("bias"), ids, "shift")
    _count(call, ids)
    return along(ids, 1, call.shape)


def _count(call: Call, ids: np.ndarray) -> None:
    """Norms without parameters still keep a count of channels."""
    if call.get("weight") is not None or call.get("running_mean") is not None:
        return
    if not (call.belongs_to(_NormBase) or call.belongs_to(nn.GroupNorm)):
        return
    own = call.entries.dimension(call.where, -1, len(ids), "attribute")
    if len(own) != len(ids):  # one InstanceNorm without parameters for tensors of several widths
        call.entries.freeze(np.concatenate([own, ids]), f"{call.where} runs on several widths")
    else:
        call.entries.unite(own, ids, "they meet channels that must stay")


def prelu(call: Call) -> Ids:
    x, slope = call.args[0], call.args[1]
    if isinstance(slope, Stored) and slope.shape != (1,):
        call.attach(slope, call.channels(x), "slope")
    return x
