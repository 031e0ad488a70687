"""A 2D U-Net in which every convolution has a width of its own.

Dense and pruned networks are the same class: only the numbers in `widths` differ. Block names are
`encoders.0..n`, `bottleneck`, `decoders.0..2n+1`; even decoders are transposed convolutions (one
width), all other blocks double convolutions (two widths). Ronneberger 2015, with BatchNorm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from compress.config import block_names
from compress.errors import ConfigError

Widths = Mapping[str, Sequence[int]]

MAX_LEVELS = 12
"""Encoders; more would halve every image to nothing."""


class DoubleConv(nn.Module):
    """(conv 3x3, BatchNorm, ReLU) twice: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, middle, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(middle, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, out_channels, H, W); H and W are multiples of `divisor`."""

    def __init__(self, in_channels: int, out_channels: int, widths: Widths) -> None:
        super().__init__()
        check_widths(widths)
        self.widths = {block: list(sizes) for block, sizes in widths.items()}
        levels = depth_of(widths)
        self.divisor = 2**levels
        self.pool = nn.MaxPool2d(2)
        self.encoders = nn.ModuleList()
        inputs = in_channels
        for level in range(levels):
            middle, outputs = widths[f"encoders.{level}"]
            self.encoders.append(DoubleConv(inputs, middle, outputs))
            inputs = outputs
        self.bottleneck = DoubleConv(inputs, *widths["bottleneck"])
        self.decoders = nn.ModuleList()
        inputs = widths["bottleneck"][1]
        for step in range(levels):
            (up,) = widths[f"decoders.{2 * step}"]
            middle, outputs = widths[f"decoders.{2 * step + 1}"]
            skip = widths[f"encoders.{levels - 1 - step}"][1]
            self.decoders.append(nn.ConvTranspose2d(inputs, up, 2, stride=2))
            self.decoders.append(DoubleConv(skip + up, middle, outputs))
            inputs = outputs
        self.head = nn.Conv2d(inputs, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for step in range(len(skips)):
            x = self.decoders[2 * step](x)
            x = self.decoders[2 * step + 1](torch.cat((skips[-1 - step], x), dim=1))
        return self.head(x)


def dense_widths(features: Sequence[int]) -> dict[str, list[int]]:
    """The unpruned network's widths: `features` per encoder, twice the last in the bottleneck."""
    widths = {f"encoders.{i}": [f, f] for i, f in enumerate(features)}
    widths["bottleneck"] = [2 * features[-1]] * 2
    for step, feature in enumerate(reversed(features)):
        widths[f"decoders.{2 * step}"] = [feature]
        widths[f"decoders.{2 * step + 1}"] = [feature, feature]
    return widths


def followers(widths: Widths) -> dict[str, str]:
    """Each transposed convolution -> the double convolution that it feeds, whose pruning ratio it takes by default."""
    return {f"decoders.{2 * step}": f"decoders.{2 * step + 1}" for step in range(depth_of(widths))}


def narrowed_widths(widths: Widths, kept: Mapping[str, int]) -> dict[str, list[int]]:
    """`widths` after pruning; `kept`: convolution, such as "encoders.0.conv2" or "decoders.0" -> channels that stay."""
    after = {block: list(sizes) for block, sizes in widths.items()}
    for name, channels in kept.items():
        block, _, last = name.rpartition(".")
        place = {"conv1": 0, "conv2": 1}.get(last)
        after[name if place is None else block][place or 0] = channels
    return after


def depth_of(widths: Widths) -> int:
    """How many encoders (and so halvings) the widths describe."""
    return sum(name.startswith("encoders.") for name in widths)


def check_widths(widths: Widths) -> None:
    """Raise `ConfigError` unless `widths` names every block of one U-Net with positive widths."""
    if len(widths) > len(block_names(MAX_LEVELS)):
        raise ConfigError(f"Widths name {len(widths)} blocks; a U-Net has at most {MAX_LEVELS} encoders.")
    levels = depth_of(widths)
    if levels == 0 or set(widths) != set(block_names(levels)):
        raise ConfigError(f"Widths name the blocks {sorted(widths)}; a U-Net needs {block_names(max(levels, 1))}.")
    for name, template in dense_widths([1] * levels).items():
        sizes = list(widths[name])
        if len(sizes) != len(template) or any(not isinstance(s, int) or s < 1 for s in sizes):
            raise ConfigError(f"Widths of {name} are {sizes}; {len(template)} positive whole number(s) are needed.")


@torch.no_grad()
def initialise(network: nn.Module, *, seed: int) -> None:
    """Draw fresh weights for every convolution (He 2015, fan out) and reset every norm, from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
