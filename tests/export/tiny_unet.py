"""A two-level U-Net for the export tests: conv-bn-relu, pooling, transposed convolution, concatenation."""

from __future__ import annotations

import torch
from torch import nn


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class TinyUNet(nn.Module):
    """(N, 1, H, W) -> (N, 4, H, W); sides are multiples of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottleneck = _block(1, 6), _block(6, 11)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(11, 5, 2, stride=2)
        self.head = nn.Conv2d(11, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down(x)
        return self.head(torch.cat((skip, self.up(self.bottleneck(self.pool(skip)))), dim=1))


def build(seed: int = 0) -> TinyUNet:
    """The network in training mode with random weights and random BatchNorm statistics."""
    torch.manual_seed(seed)
    network = TinyUNet()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network
