"""Networks that a person's own function makes, named as "module:factory".

A checkpoint only stores the name. What it names is imported when it is one of `TRUSTED`, or when a person has typed it,
in this process or to this folder's commands before (`cli/factories.py`): a file alone never decides which code runs.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from torch import nn

from compress.errors import CheckpointError, ConfigError

_MONAI = "monai.networks.nets"
TRUSTED = frozenset(
    f"{_MONAI}:{name}"
    for name in (
        *("UNet", "BasicUNet", "BasicUNetPlusPlus", "AttentionUnet", "SegResNet", "SegResNetDS"),
        *("DynUNet", "VNet", "UNETR", "SwinUNETR"),
    )
)
"""What a file may name by itself: networks of MONAI's that compute from their arguments alone. Others of MONAI's fetch
weights from wherever an argument says."""
_named: dict[str, str] = {}
"""What a person has named in this process -> the folder that it may lie in, "" for none."""
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def trust(factory: str, *, folder: str = "") -> None:
    """Let `factory` be imported in this process, because a person named it. `ConfigError` for no "module:factory".

    folder: where its module may lie if it is found nowhere else.
    """
    if not _NAME.fullmatch(factory):
        raise ConfigError(f"{factory!r} is no factory.", cure="Write module:factory, such as monai.networks.nets:UNet.")
    _named.setdefault(factory, folder)


def factory_network(factory: str, in_channels: int, out_channels: int, network: Mapping[str, Any]) -> nn.Module:
    """What `factory(**network)` makes: a module from (N, in_channels, H, W) to logits (N, out_channels, H, W).

    Raises `CheckpointError` for a factory that nobody named, and `ConfigError` when it makes no network.
    """
    module, _, name = factory.partition(":")
    if factory not in _named and factory not in TRUSTED:
        raise CheckpointError(
            f"This network is made by {factory}, which is not imported because a file names it.",
            cure=f"If you trust it: --set train.model.factory={factory}",
        )
    cure = "Check its name and arguments."
    try:
        make = getattr(_imported(module, _named.get(factory, "")), name)
        made = make(**network)
    except (ImportError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as fault:
        told = " ".join(str(fault).split())[:300]
        raise ConfigError(f"{factory} cannot make the network: {told}.", cure=cure) from None
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{factory} made a {type(made).__name__}, not a torch module.")
    return made.eval()


def _imported(module: str, folder: str) -> ModuleType:
    """The module, found in the folder only where it is nowhere else; what it imports is not looked for there."""
    finder = _InFolder(module.partition(".")[0], folder)
    sys.meta_path.append(finder)
    try:
        return importlib.import_module(module)
    finally:
        sys.meta_path.remove(finder)


class _InFolder:
    """Finds one module, with what it contains, in one folder: any other name there may be a stranger's."""

    def __init__(self, name: str, folder: str) -> None:
        self.name, self.folder = name, folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return PathFinder.find_spec(name, [self.folder], target) if name == self.name and self.folder else None
