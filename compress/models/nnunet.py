"""nnU-Net's own networks, built from what plans say, by the package that nnU-Net builds them with.

PlainConvUNet and ResidualEncoderUNet of `dynamic_network_architectures`, without the second names that their modules
have there: every tensor has one name, the first that nnU-Net gives it. Isensee et al., Nature Methods 18:203-211, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from compress.errors import ConfigError

NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
_TWIN = ".all_modules."
_SHARED = "decoder.encoder."
_TYPES: dict[str, type[nn.Module]] = {
    **{f"Conv{d}d": getattr(nn, f"Conv{d}d") for d in (2, 3)},
    **{f"InstanceNorm{d}d": getattr(nn, f"InstanceNorm{d}d") for d in (2, 3)},
    **{f"BatchNorm{d}d": getattr(nn, f"BatchNorm{d}d") for d in (2, 3)},
    **{f"Dropout{d}d": getattr(nn, f"Dropout{d}d") for d in (2, 3)},
    **{name: getattr(nn, name) for name in ("LeakyReLU", "ReLU", "ELU", "GELU", "SiLU", "Mish")},
}
"""Classes that plans may name; nothing that a file says is imported."""
_CLASS_KEYS = ("conv_op", "norm_op", "dropout_op", "nonlin")


class ConvBlock(nn.Module):
    """Convolution, dropout, norm and nonlinearity, each where there is one."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.children():
            x = part(x)
        return x


class Folds(nn.Module):
    """Several networks of one shape: their logits one after another, (N, folds * heads, H, W)."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.divisor = getattr(members[0], "divisor", 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([member(x) for member in self.members], dim=1)


def nnunet_network(
    network: str, in_channels: int, out_channels: int, settings: Mapping[str, Any], folds: int = 1
) -> nn.Module:
    """An untrained network.

    network: one of `NETWORKS`. settings: nnU-Net's arch_kwargs, its classes by their last names ("Conv2d").
    Raises `ConfigError` for settings that the class does not take, `ModuleNotFoundError` without the extra [nnunet].
    """
    if folds > 1:
        return Folds([nnunet_network(network, in_channels, out_channels, settings) for _ in range(folds)])
    made = _constructor(network)(
        input_channels=in_channels, num_classes=out_channels, deep_supervision=False, **_arguments(settings)
    )
    del made.decoder._modules["encoder"]  # a second name of the encoder; its forward does not use it
    _name_once(made)
    made.divisor = math.prod(max(_sides(stride)) for stride in settings["strides"])
    return made.eval()


def plain_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """nnU-Net's state dict by the names that stay: without second names, and without what wrappers put before them."""
    stripped = {name.removeprefix("module.").removeprefix("_orig_mod."): value for name, value in tensors.items()}
    return {name: value for name, value in stripped.items() if _TWIN not in name and not name.startswith(_SHARED)}


def stock_tensors(
    network: str, in_channels: int, out_channels: int, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """`tensors` under every name that nnU-Net's own class gives them, as its checkpoints have them.

    Raises `ConfigError` when a network of these settings has other tensors.
    """
    made = _constructor(network)(
        input_channels=in_channels, num_classes=out_channels, deep_supervision=False, **_arguments(settings)
    )
    first: dict[int, str] = {}
    names = made.state_dict(keep_vars=True)
    for name, value in names.items():
        if _TWIN not in name and not name.startswith(_SHARED):
            first[id(value)] = name
    found = {name: tensors.get(first[id(value)]) for name, value in names.items()}
    wrong = [n for n, t in found.items() if t is None or t.shape != names[n].shape]
    if wrong or len(set(first.values())) != len(tensors):
        raise ConfigError(f"nnU-Net's {network} of these widths has other tensors: {(wrong or ['more of them'])[0]}.")
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def every_head(network: nn.Module) -> Iterator[None]:
    """Inside, the network also gives the outputs of deep supervision, so that whoever follows it meets their heads."""
    decoders: list[Any] = [module for module in network.modules() if hasattr(module, "deep_supervision")]
    before = [module.deep_supervision for module in decoders]
    try:
        for module in decoders:
            module.deep_supervision = True
        yield
    finally:
        for module, value in zip(decoders, before, strict=True):
            module.deep_supervision = value


def followers(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each transposed convolution -> the stage that it feeds, whose ratio it takes unless it is listed itself."""
    return {f"decoder.transpconvs.{i}": f"decoder.stages.{i}" for i in range(int(settings["n_stages"]) - 1)}


def _constructor(network: str) -> Any:
    if network not in NETWORKS:
        raise ConfigError(f"nnU-Net's network {network!r} is not known.", cure=f"Known: {', '.join(NETWORKS)}.")
    from dynamic_network_architectures.architectures import unet

    return getattr(unet, network)


MAX_STAGES = 12
"""More would halve every image to nothing."""


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(settings)
    stages = known.get("n_stages")
    if type(stages) is not int or not 1 <= stages <= MAX_STAGES:
        raise ConfigError(f"nnU-Net's network has {str(stages)[:20]} stages; 1 to {MAX_STAGES} are possible.")
    for key in _CLASS_KEYS:
        word = known.get(key)
        if word is not None and word not in _TYPES:
            raise ConfigError(f"nnU-Net's {key} {word!r} is not known.", cure=f"Known: {', '.join(_TYPES)}.")
        known[key] = None if word is None else _TYPES[word]
    return known


def _sides(stride: int | Sequence[int]) -> list[int]:
    return [stride] if isinstance(stride, int) else list(stride)


def _name_once(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if "all_modules" in module._modules:
            parts = {key: part for key, part in module._modules.items() if key != "all_modules" and part is not None}
            order = list(module._modules["all_modules"])  # pyright: ignore[reportArgumentType, reportCallIssue]
            network.set_submodule(name, ConvBlock(dict(sorted(parts.items(), key=lambda item: order.index(item[1])))))
