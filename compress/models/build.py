"""Networks by name: the table that checkpoints and configurations choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from compress.models.unet import UNet, followers, narrowed_widths, restructured_widths
from compress.registry import pick


@dataclass(frozen=True)
class Architecture:
    """What a network's class says of itself, so that pruning need not know it."""

    make: Callable[..., nn.Module]
    """The constructor; its keyword arguments are what a checkpoint stores."""
    narrow: Callable[[Mapping[str, Any], Mapping[str, int]], dict[str, Any]]
    """(arguments, convolution -> output channels that stay) -> the arguments of the smaller network."""
    followers: Callable[[Mapping[str, Any]], dict[str, str]]
    """Arguments -> {block: the block whose pruning ratio it takes unless it is listed itself}."""
    restructure: Callable[[Mapping[str, Any], Sequence[str], bool], tuple[dict[str, Any], dict[str, str]]]
    """(arguments, blocks that become single, whether the level of full resolution goes) -> the arguments of the
    network of less depth, and its convolutions that must be fitted -> the norm that follows each, in order."""


def _restructured_unet(
    arguments: Mapping[str, Any], single: Sequence[str], space_to_depth: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    widths, new = restructured_widths(arguments["widths"], single=single, space_to_depth=space_to_depth)
    return {**arguments, "widths": widths}, new


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        make=UNet,
        narrow=lambda arguments, kept: {**arguments, "widths": narrowed_widths(arguments["widths"], kept)},
        followers=lambda arguments: followers(arguments["widths"]),
        restructure=_restructured_unet,
    ),
}


def architecture_of(name: str) -> Architecture:
    """The row of an architecture; `ConfigError` for an unknown name."""
    return pick("architecture", ARCHITECTURES, name)


def build(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with untrained weights; `ConfigError` for an unknown name or impossible widths."""
    return architecture_of(architecture).make(**arguments)
