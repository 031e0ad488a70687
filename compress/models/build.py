"""Networks by name: the table that checkpoints and configurations choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.models import factory, nnunet
from compress.models.parts import no_more_parts_than_fit
from compress.models.shape import shape_of, take_on
from compress.models.unet import UNet, followers, narrowed_widths, restructured_widths
from compress.registry import pick

SHAPE = "shape"
"""The argument that holds what pruning left of a network whose class has no widths of its own."""


@dataclass(frozen=True)
class Architecture:
    """What a network's class says of itself, so that pruning need not know it."""

    make: Callable[..., nn.Module]
    """The constructor; its keyword arguments are what a checkpoint stores."""
    narrow: Callable[[Mapping[str, Any], Mapping[str, int]], dict[str, Any]] | None
    """(arguments, convolution -> output channels that stay) -> the arguments of the smaller network.

    None: the class has no widths to choose; what pruning leaves is stored beside its arguments (`SHAPE`).
    """
    followers: Callable[[Mapping[str, Any]], dict[str, str]]
    """Arguments -> {block: the block whose pruning ratio it takes unless it is listed itself}."""
    followed: Callable[[nn.Module], AbstractContextManager[Any]] = nullcontext
    """Inside, the network's code runs through all that pruning must see."""
    restructure: Callable[[Mapping[str, Any], Sequence[str], bool], tuple[dict[str, Any], dict[str, str]]] | None = None
    """(arguments, blocks that become single, whether the level of full resolution goes) -> the arguments of the
    network of less depth, and its convolutions that must be fitted -> the norm that follows each, in order.

    None: no such move is known for the class."""


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
    "nnunet": Architecture(
        make=nnunet.nnunet_network,
        narrow=None,
        followers=lambda arguments: nnunet.followers(arguments["settings"]),
        followed=nnunet.every_head,
    ),
    "factory": Architecture(make=factory.factory_network, narrow=None, followers=lambda arguments: {}),
}


def architecture_of(name: str) -> Architecture:
    """The row of an architecture; `ConfigError` for an unknown name."""
    return pick("architecture", ARCHITECTURES, name)


def build(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with untrained weights; `ConfigError` for an unknown name or impossible widths."""
    network = architecture_of(architecture).make(**{k: v for k, v in arguments.items() if k != SHAPE})
    take_on(network, arguments.get(SHAPE) or {})
    return network


def outline(architecture: str, arguments: Mapping[str, Any], *, tensors: int) -> nn.Module:
    """The same without memory behind its tensors (torch's meta device), for comparing it with stored weights.

    tensors: so many are stored; raises `ConfigError` as `build`, and for a network of far more parts than that.
    """
    with no_more_parts_than_fit(tensors), torch.device("meta"):
        return build(architecture, arguments)


def misfits(network: nn.Module, stored: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that only one of both has or that have other shapes; none where the weights fit."""
    own = network.state_dict()
    return sorted(own.keys() ^ stored.keys()) or [name for name in own if own[name].shape != stored[name].shape]


def widths_of(network: nn.Module, arguments: Mapping[str, Any]) -> dict[str, list[int]]:
    """Output channels of every convolution: by block for an architecture that has such a table, else by name."""
    if "widths" in arguments:
        return arguments["widths"]
    layers = ((name, module) for name, module in network.named_modules())
    return {name: [m.out_channels] for name, m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}


def arguments_of(architecture: str, arguments: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """The arguments that build a network of the shape that pruning left `network`, which `arguments` built."""
    dense = {key: value for key, value in arguments.items() if key != SHAPE}
    return {**dense, SHAPE: shape_of(network, outline(architecture, dense, tensors=len(network.state_dict())))}
