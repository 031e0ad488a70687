"""Networks that a person's own function makes, named as "module:factory".

A checkpoint only stores the name. What it names is imported when it is MONAI's, or when a person has named it in this
process or in the configuration (`train.model.factory`): a file alone never decides which code runs.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from compress.errors import CheckpointError, ConfigError

TRUSTED = ("monai.networks.nets",)
_named: set[str] = set()
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def trust(factory: str) -> None:
    """Let `factory` be imported in this process, because a person named it. `ConfigError` for no "module:factory"."""
    if not _NAME.fullmatch(factory):
        raise ConfigError(f"{factory!r} is no factory.", cure="Write module:factory, such as monai.networks.nets:UNet.")
    _named.add(factory)


def factory_network(factory: str, in_channels: int, out_channels: int, network: Mapping[str, Any]) -> nn.Module:
    """What `factory(**network)` makes: a module from (N, in_channels, H, W) to logits (N, out_channels, H, W).

    Raises `CheckpointError` for a factory that nobody named, and `ConfigError` when it makes no network.
    """
    module, _, name = factory.partition(":")
    if factory not in _named and module not in TRUSTED:
        raise CheckpointError(
            f"This network is made by {factory}, which is not imported because a file names it.",
            cure=f"If you trust it: --set train.model.factory={factory}",
        )
    cure = "Check its name and arguments."
    try:
        make = getattr(importlib.import_module(module), name)
        if factory not in _named and not (isinstance(make, type) and issubclass(make, nn.Module)):
            raise CheckpointError(f"{factory} is no network of MONAI's.")
        made = make(**network)
    except (ImportError, AttributeError, TypeError, ValueError) as fault:
        raise ConfigError(f"{factory} cannot make the network: {fault}.", cure=cure) from None
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{factory} made a {type(made).__name__}, not a torch module.")
    return made.eval()
