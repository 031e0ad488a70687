"""A convolution as a matrix product at chosen output positions: what it sees, and its weights as a matrix.

Convolutions and transposed convolutions in one, two or three dimensions. A group of a grouped convolution is a
convolution of its own; the numbers of its inputs and outputs are those of the group.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.modules.conv import _ConvNd


def patches_at(module: Any, arriving: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """What a convolution sees of its input (N, C, ...) at output positions (1 + dimensions, P).

    Returns (P, C x kernel), in the order of `weights_of`.
    """
    look = _seen_transposed if module.transposed else _seen
    padded = arriving if module.transposed else pad(arriving, _padding(module), mode=_mode(module))
    taps = product(*(range(size) for size in module.kernel_size))
    return torch.stack([look(module, padded, places, tap) for tap in taps], dim=2).flatten(1)


def weights_of(module: Any, group: int) -> torch.Tensor:
    """(outputs, inputs x kernel) of one group."""
    rows = _rows(module, group)
    weight = module.weight[rows].transpose(0, 1) if module.transposed else module.weight[rows]
    return weight.flatten(1)


def add_to_weights(module: Any, group: int, change: torch.Tensor) -> None:
    """Add what has the shape of `weights_of` to a group's weights, in place."""
    part = module.weight[_rows(module, group)]
    shaped = change.to(part.dtype)
    if module.transposed:
        part.add_(shaped.reshape(part.shape[1], part.shape[0], *part.shape[2:]).transpose(0, 1))
    else:
        part.add_(shaped.reshape(part.shape))


def is_matrix(module: nn.Module) -> bool:
    """Whether a module can be taken as such a matrix."""
    return isinstance(module, _ConvNd) and not (module.transposed and module.groups > 1)


def _rows(module: Any, group: int) -> slice:
    """Of the first dimension of its weight: outputs, or inputs of a transposed convolution."""
    each = module.weight.shape[0] // module.groups
    return slice(group * each, (group + 1) * each)


def _seen(module: Any, padded: torch.Tensor, places: torch.Tensor, tap: tuple[int, ...]) -> torch.Tensor:
    image, *spots = places
    steps = zip(spots, module.stride, module.dilation, tap, strict=True)
    return padded[(image, slice(None), *(spot * stride + reach * at for spot, stride, reach, at in steps))]


def _seen_transposed(module: Any, arriving: torch.Tensor, places: torch.Tensor, tap: tuple[int, ...]) -> torch.Tensor:
    """Input positions that this tap spreads to the output positions; zero where there is none."""
    image, *spots = places
    index, inside = [], torch.ones(len(image), dtype=torch.bool)
    for axis, (spot, at) in enumerate(zip(spots, tap, strict=True)):
        scaled = spot + module.padding[axis] - at * module.dilation[axis]
        source = torch.div(scaled, module.stride[axis], rounding_mode="floor")
        inside &= (scaled % module.stride[axis] == 0) & (source >= 0) & (source < arriving.shape[2 + axis])
        index.append(source.clamp(0, arriving.shape[2 + axis] - 1))
    return arriving[(image, slice(None), *index)] * inside[:, None]


def _mode(module: Any) -> str:
    return "constant" if module.padding_mode == "zeros" else module.padding_mode


def _padding(module: Any) -> list[int]:
    """Before and after, the last dimension first."""
    if module.padding == "valid":
        return [0] * (2 * len(module.kernel_size))
    if module.padding == "same":  # an odd pixel goes after the image, as torch does it
        both = [reach * (size - 1) for reach, size in zip(module.dilation, module.kernel_size, strict=True)]
        return [part for total in reversed(both) for part in (total // 2, total - total // 2)]
    return [int(size) for size in reversed(module.padding) for _ in range(2)]
