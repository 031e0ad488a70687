"""How operations with parameters treat the channels that arrive, and the table of all rules, `RULES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from compress.prune.call import Call
from compress.prune.moves import chunk, glu, joined, moved, picked, pixel_shuffle, placed, reshaped
from compress.prune.positions import elementwise, nothing, pad, reduced, running, same, spatial, unpool
from compress.prune.values import Ids, Laid, Stored, along, combine, entries_of, varying

# Operations with parameters of their own: convolutions, linear layers and norms.


def convolution(call: Call) -> Ids:
    """conv1d/2d/3d and their transposed forms. Whole groups of a grouped convolution leave together."""
    x, weight = call.get("input"), call.get("weight")
    groups = int(call.get("groups", 1))
    transposed = "transpose" in call.name or bool(call.get("transposed", False))
    arriving = call.channels(x)
    if not isinstance(weight, Stored | Laid):
        return call.give_up("its weight is computed from the image")
    if groups == 1:
        made = weighted(call, weight, arriving, *((0, 1) if transposed else (1, 0)), call.shape[1])
    elif not isinstance(weight, Stored):
        return call.give_up("the weight of a grouped convolution is computed before it is used")
    elif not call.belongs_to(_ConvNd):
        return call.give_up("a grouped convolution outside of a module keeps its number of groups")
    else:
        made = _grouped(call, weight, arriving, groups, transposed)
    call.attach(call.get("bias"), made, "bias")
    return along(made, 1, call.shape)


def weighted(call: Call, weight: Stored | Laid, arriving: np.ndarray, into: int, out: int, width: int) -> np.ndarray:
    """Entries (width,) that a weight makes along its dimension `out` of those that arrive along `into`."""
    call.attach(weight, arriving, "consumer", into)
    if isinstance(weight, Stored):
        return call.entries.dimension(weight.name, out, width, "filter")
    part = weight.along(out)
    if part is None:
        made = call.entries.fresh(width)
        call.entries.freeze(made, f"the weight of {call.where} is computed from all of them before it is used")
        return made
    call.entries.cast(part.name, part.dim, "filter")
    return call.channels(part.ids, out)


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
    if not isinstance(weight, Stored | Laid):
        return call.give_up("its weight is computed from the image")
    made = weighted(call, weight, call.channels(x, x.ndim - 1), 1, 0, call.shape[-1])
    call.attach(call.get("bias"), made, "bias")
    return along(made, len(call.shape) - 1, call.shape)


def product(call: Call) -> Any:
    """Matrix product: of what flows with a weight, or of two that flow; nothing may run over the channels."""
    if call.name == "addmm":
        bias, x, other = call.args[:3]
    else:
        bias, (x, other) = None, call.args[:2]
    if not isinstance(x, torch.Tensor) or x.ndim < 2:
        return call.give_up(f"{call.name} cannot be followed")
    if isinstance(other, Stored | Laid) and len(other.shape) == 2:
        made = weighted(call, other, call.channels(x, x.ndim - 1), 0, 1, call.shape[-1])
        call.attach(bias, made, "bias")
        return along(made, len(call.shape) - 1, call.shape)
    if bias is not None or not isinstance(other, torch.Tensor) or other.ndim < 2:
        return call.give_up(f"{call.name} cannot be followed")
    return _contracted(call, x, other)


def _contracted(call: Call, a: Ids, b: Ids) -> Any:
    if a.ndim - 1 in varying(a) or b.ndim - 2 in varying(b):
        return call.give_up(f"{call.name} runs over the channels")
    if a.ndim - 2 in varying(a) and b.ndim - 1 in varying(b):
        return call.give_up(f"{call.name} pairs channels with channels")
    why = f"{call.name} joins them with channels that must stay (in {call.where})"
    return combine(call.entries, a.narrow(-1, 0, 1), b.narrow(-2, 0, 1), call.shape, why)


def attention(call: Call) -> Any:
    """(..., heads, positions, each): every head alone, and within one every channel of the values alone."""
    query, key, value, mask = (call.get(name) for name in ("query", "key", "value", "attn_mask"))
    flowing = all(isinstance(v, torch.Tensor) for v in (query, key, value))
    if not flowing or mask is not None or call.get("enable_gqa"):
        return call.give_up(f"{call.name} with a mask cannot be followed")
    if any({x.ndim - 1, x.ndim - 2} & varying(x) for x in (query, key)):
        return call.give_up(f"{call.name} runs over the channels")
    why = f"{call.name} joins them with channels that must stay (in {call.where})"
    joined = (*query.shape[:-2], query.shape[-2], key.shape[-2])
    scores = combine(call.entries, query.narrow(-1, 0, 1), key.narrow(-1, 0, 1).transpose(-1, -2), joined, why)
    return _contracted(call, scores, value)


def weight_norm(call: Call) -> Any:
    """g * v / |v|: one length per filter. The length is over all inputs, which therefore stay."""
    v, g, dim = call.get("v"), call.get("g"), int(call.get("dim", 0))
    if not all(isinstance(x, Stored | Laid) for x in (v, g)):
        return call.give_up(f"{call.name} cannot be followed")
    v, g = call.lay(v), call.lay(g)
    own, other = v.along(dim), g.along(dim)
    for part in (*v.parts, *g.parts):
        if part not in (own, other):
            call.entries.freeze(entries_of(part.ids), f"weight_norm runs over them (in {call.where})")
    if own is None or other is None:
        return Laid(v.shape, ())
    call.entries.unite(call.channels(own.ids, dim), call.channels(other.ids, dim), "they must stay")
    return Laid(v.shape, (own,))


def layer_norm(call: Call) -> Any:
    """Over pixels it is a norm per channel; over channels its statistics change with every one that leaves."""
    x, shape = call.args[0], call.get("normalized_shape")
    if varying(x) & set(range(x.ndim - len(shape), x.ndim)):
        return call.give_up(f"{call.name} runs over the channels")
    return x


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


Rule = Callable[[Call], Any]
_TABLE: list[tuple[Rule, str]] = [
    (convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution"),
    (linear, "linear"),
    (product, "matmul mm bmm addmm"),
    (attention, "scaled_dot_product_attention"),
    (weight_norm, "_weight_norm"),
    (layer_norm, "layer_norm"),
    (per_channel_norm, "batch_norm instance_norm"),
    (group_norm, "group_norm"),
    (prelu, "prelu"),
    (elementwise, "add sub rsub mul div true_divide maximum minimum where lerp pow clamp clamp_min clamp_max"),
    (elementwise, "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh"),
    (elementwise, "softplus softsign abs neg exp log log1p sqrt rsqrt square reciprocal erf sin cos sign"),
    (elementwise, "dropout feature_dropout alpha_dropout feature_alpha_dropout threshold bernoulli"),
    (
        elementwise,
        "gt ge lt le eq ne logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not",
    ),
    (elementwise, "__and_ __or_ __xor_ bitwise_xor"),
    (elementwise, "masked_fill isnan isfinite sgn floor ceil round trunc frac fmod remainder atan2 tan asin acos atan"),
    (elementwise, "log_sigmoid logit expm1 exp2 log2 log10 erfc nan_to_num softshrink hardshrink addcmul addcdiv"),
    (elementwise, "zeros_like ones_like full_like rand_like randn_like fake_quantize_per_tensor_affine"),
    (moved, "permute transpose swapaxes movedim t mT unsqueeze squeeze expand expand_as repeat tile"),
    (moved, "flip pixel_unshuffle repeat_interleave"),
    (joined, "cat concat stack"),
    (glu, "glu"),
    (reshaped, "view view_as reshape reshape_as _unsafe_view flatten unflatten"),
    (chunk, "chunk channel_shuffle"),
    (placed, "split split_with_sizes unsafe_split tensor_split slice narrow"),
    (picked, "select index_select unbind roll"),
    (pixel_shuffle, "pixel_shuffle"),
    (spatial, "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d"),
    (spatial, "avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d"),
    (spatial, "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d"),
    (spatial, "upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d reflection_pad2d replication_pad2d"),
    (spatial, "reflection_pad1d reflection_pad3d replication_pad1d replication_pad3d avg_pool1d lp_pool2d"),
    (pad, "pad constant_pad_nd"),
    (unpool, "max_unpool2d max_unpool3d"),
    (reduced, "mean sum amax amin max min std var linalg_vector_norm norm var_mean std_mean logsumexp prod median"),
    (reduced, "argmax argmin any all nanmean nansum count_nonzero"),
    (running, "softmax log_softmax _softmax _log_softmax cumsum cumprod sort"),
    (same, "contiguous clone alias detach to _to_copy type_as float half lift_fresh_copy"),
    (nothing, "_assert_tensor_metadata _assert_scalar sym_size size"),
]
RULES: dict[str, Rule] = {name: rule for rule, names in _TABLE for name in names.split()}
"""Operator name without namespace, overload and in-place underscore -> how its channels behave."""
