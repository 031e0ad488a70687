"""The exponential moving average of a network's weights over its last steps.

Polyak and Juditsky 1992; for segmentation and classification networks of today it damps the noise between epochs
(Morales-Brotons 2024, arXiv:2411.18704). The running statistics of BatchNorm are averaged like weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class Average:
    """The average of every floating-point parameter and buffer of one network."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """decay: share of the average that stays with each step. Begins with the network's own values."""
        self.decay = decay
        self.steps = 0
        self.values = {name: value.detach().clone() for name, value in _floats(network).items()}

    @torch.no_grad()
    def add(self, network: nn.Module) -> None:
        """Take one more step's weights in. The first steps count for more, or the average would remember its start."""
        self.steps += 1
        weight = 1 - min(self.decay, self.steps / (self.steps + 10))
        now = _floats(network)
        torch._foreach_lerp_(list(self.values.values()), [now[name] for name in self.values], weight)

    def restore(self, values: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from what was stored."""
        self.steps = steps
        for name, value in self.values.items():
            value.copy_(values[name])


def _floats(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
