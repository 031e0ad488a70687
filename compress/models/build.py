"""Networks by name: the table that checkpoints and configurations choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from compress.models.unet import UNet
from compress.registry import pick

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"unet": UNet}
"""Architecture name -> constructor; its keyword arguments are what a checkpoint stores."""


def build(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with untrained weights; `ConfigError` for an unknown name or impossible widths."""
    return pick("architecture", ARCHITECTURES, architecture)(**arguments)
