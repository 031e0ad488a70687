"""How each operation of a traced graph treats the channels that arrive. Register a rule in `RULES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from compress.prune.call import Call
from compress.prune.entries import Role
from compress.prune.values import (
    Derived,
    Ids,
    Stored,
    along,
    combine,
    compact,
    entries_of,
    squeezed,
    varying,
)

# Operations with parameters of their own: convolutions, linear layers and norms.


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


# Operations that compute on every position or channel alone.


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
        if isinstance(value, Stored | Derived):
            _parameter_operand(call, result, value)
    return result


def _parameter_operand(call: Call, ids: Ids, value: Stored | Derived) -> None:
    """`x * gamma` or `x + shift`: the parameter's dimension along the channels shrinks with them."""
    lead = ids.ndim - len(value.shape)
    touched = [d for d in varying(ids) if d >= lead and value.shape[d - lead] > 1]
    if not touched:
        return
    if isinstance(value, Derived) or len(touched) > 1:
        call.entries.freeze(entries_of(ids), f"{call.name} with a computed constant (in {call.where})")
        return
    role: Role = "scale" if call.name in ("mul", "div") else "shift"
    call.attach(value, call.channels(ids, touched[0]), role, touched[0] - lead)


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
    if isinstance(call.get("other"), torch.Tensor | Stored | Derived):  # torch.max of two tensors
        return elementwise(call)
    chosen = {d % x.ndim for d in ([dims] if isinstance(dims, int) else dims or range(x.ndim))}
    if varying(x) & chosen:
        return call.give_up(f"{call.name} runs over the channels")
    keep = bool(call.get("keepdim", False))
    small = squeezed(x)
    for dim in sorted(chosen, reverse=True):
        small = small if keep else small.squeeze(dim)
    return _everywhere(call, small.expand(list(call.shape)))


def softmax(call: Call) -> Any:
    x = call.args[0]
    if int(call.args[1]) % x.ndim in varying(x):
        return call.give_up(f"{call.name} runs over the channels")
    return x


def same(call: Call) -> Ids:
    return call.args[0]


def nothing(call: Call) -> None:
    return None


# Operations that move, join and cut tensors without computing.


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


Rule = Callable[[Call], Any]
_TABLE: list[tuple[Rule, str]] = [
    (convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution"),
    (linear, "linear"),
    (per_channel_norm, "batch_norm instance_norm"),
    (group_norm, "group_norm"),
    (prelu, "prelu"),
    (elementwise, "add sub rsub mul div true_divide maximum minimum where lerp pow clamp clamp_min clamp_max"),
    (elementwise, "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh"),
    (elementwise, "softplus softsign abs neg exp log log1p sqrt rsqrt square reciprocal erf sin cos sign"),
    (elementwise, "dropout feature_dropout alpha_dropout feature_alpha_dropout threshold bernoulli"),
    (moved, "permute transpose swapaxes movedim t mT unsqueeze squeeze expand expand_as repeat tile"),
    (moved, "cat concat stack flip pixel_unshuffle"),
    (reshaped, "view view_as reshape reshape_as _unsafe_view flatten unflatten"),
    (chunk, "chunk channel_shuffle"),
    (placed, "split split_with_sizes unsafe_split tensor_split slice select narrow index_select unbind roll"),
    (pixel_shuffle, "pixel_shuffle"),
    (spatial, "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d"),
    (spatial, "avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d"),
    (spatial, "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d"),
    (spatial, "upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d reflection_pad2d replication_pad2d"),
    (spatial, "reflection_pad1d reflection_pad3d replication_pad1d replication_pad3d avg_pool1d lp_pool2d"),
    (pad, "pad constant_pad_nd"),
    (reduced, "mean sum amax amin max min std var"),
    (softmax, "softmax log_softmax _softmax"),
    (same, "contiguous clone alias detach to _to_copy type_as float half lift_fresh_copy"),
    (nothing, "_assert_tensor_metadata _assert_scalar sym_size size"),
]
RULES: dict[str, Rule] = {name: rule for rule, names in _TABLE for name in names.split()}
"""Operator name without namespace, overload and in-place underscore -> how its channels behave."""
