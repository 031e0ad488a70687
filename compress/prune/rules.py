"""How each operation of a traced graph treats the channels that arrive. Register a rule in `RULES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from compress.prune.call import Call
from compress.prune.entries import Role
from compress.prune.rules_layers import convolution, group_norm, linear, per_channel_norm, prelu
from compress.prune.rules_moves import chunk, moved, pixel_shuffle, placed, reshaped
from compress.prune.values import (
    Derived,
    Ids,
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
    x, dims = call.args[0], call.args[1] if len(call.args) > 1 else None
    if isinstance(dims, torch.Tensor | Stored | Derived):  # torch.max of two tensors
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
