"""What the filters and activations of a network look like: the figures behind `inspect`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from compress.data.prepared import with_channels
from compress.prune.criteria import slice_norms


@dataclass(frozen=True)
class FilterStatistics:
    """L1 norms of one convolution's filters."""

    layer: str
    filters: int
    mean: float
    std: float
    minimum: float
    median: float
    maximum: float
    norms: np.ndarray
    """(filters,) L1 norm of every filter, biases left out."""


def filter_statistics(network: nn.Module) -> list[FilterStatistics]:
    """One entry per convolution, in order of definition."""
    result = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            norms = slice_norms(module.weight, 1 if isinstance(module, nn.ConvTranspose2d) else 0)
            result.append(
                FilterStatistics(
                    layer=name,
                    filters=len(norms),
                    mean=float(norms.mean()),
                    std=float(norms.std()),
                    minimum=float(norms.min()),
                    median=float(np.median(norms)),
                    maximum=float(norms.max()),
                    norms=norms,
                )
            )
    return result


@torch.no_grad()
def activation_statistics(network: nn.Module, images: np.ndarray, *, bins: int = 60) -> dict[str, dict[str, object]]:
    """Distribution of every ReLU's and transposed convolution's output on images (N, H, W) or
    (N, channels, H, W) float32.

    Per layer: mean, std, zero_fraction (exact zeros) and histogram (edges, counts).
    """
    found: dict[str, dict[str, object]] = {}
    watched = {n: m for n, m in network.named_modules() if isinstance(m, nn.ReLU | nn.ConvTranspose2d)}
    hooks = [m.register_forward_hook(_recorder(found, name, bins)) for name, m in watched.items()]
    try:
        network.eval()(torch.from_numpy(with_channels(images)))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _recorder(found: dict[str, dict[str, object]], name: str, bins: int):
    def record(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        values = output.detach().float().flatten()
        low, high = float(values.min()), float(values.max())
        counts = torch.histc(values, bins=bins, min=low, max=high if high > low else low + 1)
        found[name] = {
            "mean": float(values.mean()),
            "std": float(values.std()),
            "zero_fraction": float((values == 0).float().mean()),
            "histogram": (np.linspace(low, high if high > low else low + 1, bins + 1).tolist(), counts.tolist()),
        }

    return record
