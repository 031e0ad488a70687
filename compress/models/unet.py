"""A 2D U-Net in which every convolution has a width of its own.

Dense and pruned networks are the same class: only the numbers in `widths` differ. Block names are
`encoders.0..n`, `bottleneck`, `decoders.0..2n+1`; even decoders are transposed convolutions (one
width), all other blocks double convolutions (two widths). Ronneberger 2015, with BatchNorm.

A width of 0 says that a part is gone. [0, 32] is a single convolution; where the first encoder and the last two
decoders have no width at all, the level of full resolution is gone: squares of 2x2 pixels come in as channels, and
leave as pixels after the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pixel_shuffle

from compress.config import block_names, top_level
from compress.errors import ConfigError, InputError

Widths = Mapping[str, Sequence[int]]

MAX_LEVELS = 12
"""Encoders; more would halve every image to nothing."""


class Restructured(NamedTuple):
    """Another depth, and what has to be found for it."""

    widths: dict[str, list[int]]
    new: dict[str, str]
    """Convolutions whose weights are to be found -> the norm that follows, "" for none; in order of execution."""


FOLD = 2
"""Pixels along each side of the square that becomes channels where the level of full resolution is gone."""


class DoubleConv(nn.Module):
    """(conv 3x3, BatchNorm, ReLU) twice, with a `middle` of 0 once: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.single = middle == 0
        if not self.single:
            self.conv1 = nn.Conv2d(inputs, middle, 3, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(middle)
            self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(middle or inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.single:
            x = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, out_channels, H, W); H and W are multiples of `divisor`."""

    def __init__(self, in_channels: int, out_channels: int, widths: Widths) -> None:
        super().__init__()
        check_widths(widths)
        self.in_channels = in_channels
        """Of an image, which a folded network takes apart before its first convolution."""
        self.widths = {block: list(sizes) for block, sizes in widths.items()}
        levels = depth_of(widths)
        self.divisor = 2**levels
        self.folded = is_folded(widths)
        self.pool = nn.MaxPool2d(2)
        # Blocks keep their names: an Identity stands where one is gone.
        self.encoders = nn.ModuleList(nn.Identity() for _ in range(self.folded))
        inputs = in_channels * FOLD**2 if self.folded else in_channels
        for level in range(self.folded, levels):
            middle, outputs = widths[f"encoders.{level}"]
            self.encoders.append(DoubleConv(inputs, middle, outputs))
            inputs = outputs
        self.bottleneck = DoubleConv(inputs, *widths["bottleneck"])
        self.decoders = nn.ModuleList()
        inputs = widths["bottleneck"][1]
        for step in range(levels - self.folded):
            (up,) = widths[f"decoders.{2 * step}"]
            middle, outputs = widths[f"decoders.{2 * step + 1}"]
            skip = widths[f"encoders.{levels - 1 - step}"][1]
            self.decoders.append(nn.ConvTranspose2d(inputs, up, 2, stride=2))
            self.decoders.append(DoubleConv(skip + up, middle, outputs))
            inputs = outputs
        self.decoders.extend(nn.Identity() for _ in range(2 * self.folded))
        self.head = nn.Conv2d(inputs, out_channels * FOLD**2 if self.folded else out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Raises `InputError` where height or width is no multiple of `divisor`."""
        if x.shape[-2] % self.divisor or x.shape[-1] % self.divisor:
            raise InputError(
                f"An image of {x.shape[-2]} x {x.shape[-1]} pixels does not fit this network.",
                cure=f"Pad or crop it so that both sides are multiples of {self.divisor}.",
            )
        skips: list[torch.Tensor] = []
        x = space_to_depth(x) if self.folded else x
        for encoder in list(self.encoders)[self.folded :]:
            x = encoder(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for step in range(len(skips)):
            x = self.decoders[2 * step](x)
            x = self.decoders[2 * step + 1](torch.cat((skips[-1 - step], x), dim=1))
        x = self.head(x)
        return pixel_shuffle(x, FOLD) if self.folded else x


def space_to_depth(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, 4C, H/2, W/2): the four pixels of each square as channels, row by row."""
    corners = [(row, column) for row in range(FOLD) for column in range(FOLD)]
    return torch.cat([x[..., row::FOLD, column::FOLD] for row, column in corners], dim=1)


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


def is_folded(widths: Widths) -> bool:
    """Whether the level of full resolution is gone."""
    return not any(widths["encoders.0"])


def restructured_widths(widths: Widths, *, single: Sequence[str] = (), space_to_depth: bool = False) -> Restructured:
    """`widths` after moves of depth. Raises `ConfigError` for blocks that are no double convolutions of it.

    single: double convolutions that become single ones; space_to_depth: the level of full resolution goes.
    """
    levels, gone = depth_of(widths), top_level(depth_of(widths)) if space_to_depth else ()
    after = {block: [0] * len(sizes) if block in gone else list(sizes) for block, sizes in widths.items()}
    doubles = [block for block, sizes in after.items() if len(sizes) == 2 and all(sizes)]
    if wrong := [block for block in single if block not in doubles]:
        raise ConfigError(
            f"{', '.join(wrong)} cannot become a single convolution. Double convolutions here: {', '.join(doubles)}."
        )
    if space_to_depth and is_folded(widths):
        raise ConfigError("The level of full resolution is gone already.")
    for block in single:
        after[block][0] = 0
    first = "encoders.1" if levels > 1 else "bottleneck"
    opening = f"{first}.conv1" if after[first][0] else f"{first}.conv2"
    changed = {f"{block}.conv2" for block in single} | ({opening} if space_to_depth else set())
    convolutions = [f"{block}.conv{number}" for block in block_names(levels) for number in (1, 2)]
    new = [name for name in convolutions if name in changed]
    norms = {name: name.replace("conv", "norm") for name in new}
    return Restructured(after, {**norms, "head": ""} if space_to_depth else norms)


def check_widths(widths: Widths) -> None:
    """Raise `ConfigError` unless `widths` names every block of one U-Net, with positive widths or parts that can go."""
    if len(widths) > len(block_names(MAX_LEVELS)):
        raise ConfigError(f"Widths name {len(widths)} blocks; a U-Net has at most {MAX_LEVELS} encoders.")
    levels = depth_of(widths)
    if levels == 0 or set(widths) != set(block_names(levels)):
        raise ConfigError(f"Widths name the blocks {sorted(widths)}; a U-Net needs {block_names(max(levels, 1))}.")
    gone = top_level(levels) if is_folded(widths) else ()
    for name, template in dense_widths([1] * levels).items():
        sizes = list(widths[name])
        whole = len(sizes) == len(template) and all(isinstance(s, int) and s >= 0 for s in sizes)
        if not whole or (any(sizes) if name in gone else not sizes[-1]):
            raise ConfigError(
                f"Widths of {name} are {sizes}; {len(template)} positive whole number(s) are needed, of a single "
                f"convolution 0 and one. All of {', '.join(top_level(levels))} can be 0 together."
            )


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
