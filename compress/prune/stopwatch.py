"""How long one network takes beside another, in torch, where it lies."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from compress.models.modules import evaluating
from compress.prune.graph import Example, inputs_of

_WARM, _ROUNDS = 3, 15


@torch.inference_mode()
def time_share(first: nn.Module, second: nn.Module, example: Example) -> float:
    """The time of `second` as a share of that of `first`, for `example`: the median over interleaved rounds."""
    inputs = inputs_of(example)
    with evaluating(first), evaluating(second):
        for _ in range(_WARM):
            for network in (first, second):
                _seconds(network, inputs)
        pairs = [(_seconds(first, inputs), _seconds(second, inputs)) for _ in range(_ROUNDS)]
    return statistics.median(mine / theirs for theirs, mine in pairs)


def seconds(network: nn.Module, example: Example) -> float:
    """Seconds of one forward pass: the median of some."""
    with torch.inference_mode(), evaluating(network):
        return statistics.median([_seconds(network, inputs_of(example)) for _ in range(_WARM + _ROUNDS)][_WARM:])


def _seconds(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> float:
    began = time.perf_counter()
    network(*inputs)
    if any(tensor.is_cuda for tensor in inputs):
        torch.cuda.synchronize()
    return time.perf_counter() - began
