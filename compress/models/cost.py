"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn


@dataclass(frozen=True)
class LayerCost:
    """One module with weights of its own."""

    name: str
    kind: str
    width: int
    """Output channels."""
    parameters: int
    macs: int


def count_parameters(network: nn.Module) -> int:
    """Trainable values; BatchNorm's running statistics are not counted."""
    return sum(p.numel() for p in network.parameters())


def count_macs(network: nn.Module, *, size: tuple[int, int]) -> int:
    """Multiply-adds of convolutions for one image (1, C, *size)."""
    return sum(layer.macs for layer in layer_costs(network, size=size))


def layer_costs(network: nn.Module, *, size: tuple[int, int]) -> list[LayerCost]:
    """Cost of every convolution, in order of definition. fvcore calls one multiply-add a "flop"."""
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    channels = getattr(network, "in_channels", first.in_channels)  # a network may take images apart before it
    counts = _counts(network, torch.zeros(1, channels, *size))
    return [
        LayerCost(
            name,
            type(module).__name__,
            module.out_channels,
            sum(p.numel() for p in module.parameters()),
            int(counts[name]),
        )
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]


def _counts(network: nn.Module, example: torch.Tensor) -> Mapping[str, float]:
    training = network.training
    network.eval()
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # fvcore counts by torch.jit tracing, which torch deprecates
        analysis = FlopCountAnalysis(network, example).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = analysis.by_module()
    network.train(training)
    return counts
