"""Other people's networks, small: what the pruning engine must be able to follow.

Widths are those that can be halved; sizes are those that one core passes through in milliseconds.
Packages are imported when a network is built, so that the table can be read without them.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import resnets
import torch
from torch import nn

MONAI, NNUNET = "monai", "dynamic_network_architectures"
_AFFINE = ("instance", {"affine": True})


@dataclass(frozen=True)
class Entry:
    """How to build a network and what it takes."""

    build: Callable[[], nn.Module]
    """A new network in training mode, the same at every call; the global random state stays untouched.

    No norm is at its default, and BatchNorm's statistics are those of its inputs, so that activations
    neither vanish nor explode: a wrong channel shows in the output.
    """
    example: tuple[int, ...]
    """Shape (N, C, H, W) or (N, C, D, H, W) of one input; sides are multiples of all that the network divides by."""
    extra: str = ""
    """The package that must be installed; empty when this folder has all that is needed."""

    @property
    def missing(self) -> str:
        """Why the network cannot be built here; empty when it can."""
        return "" if not self.extra or importlib.util.find_spec(self.extra) else f"{self.extra} is not installed"


def image(entry: Entry, *, batch: int = 0, seed: int = 0) -> torch.Tensor:
    """A normal random input of the entry's shape, or with `batch` images instead of its own number."""
    shape = (batch or entry.example[0], *entry.example[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _seeded(make: Callable[[], nn.Module], example: tuple[int, ...]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            network = make()
            _enliven(network, torch.randn(4, *example[1:]))
            return network

    return build


def _enliven(network: nn.Module, images: torch.Tensor) -> None:
    """Draw scales (0.5 to 1.5), shifts and biases (-0.5 to 0.5); let one batch set BatchNorm's statistics."""
    for name, tensor in network.named_parameters():
        if tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + (-0.5 if name.endswith("bias") else 0.5))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()(images)
    for norm in norms:
        norm.momentum = 0.1


def _entry(
    make: Callable[[], nn.Module], *, channels: int = 1, size: tuple[int, ...] = (64, 64), extra: str = ""
) -> Entry:
    example = (1, channels, *size)
    return Entry(_seeded(make, example), example, extra)


def _monai(name: str, **kwargs: Any) -> Entry:
    def make() -> nn.Module:
        from monai.networks import nets

        return getattr(nets, name)(spatial_dims=2, in_channels=1, **kwargs)

    return _entry(make, extra=MONAI)


def _unet(norm: str, units: int) -> Entry:
    return _monai("UNet", out_channels=4, channels=(8, 16, 32), strides=(2, 2), num_res_units=units, norm=norm)


def _basic_unet(norm: str | tuple[str, dict[str, Any]]) -> Entry:
    return _monai("BasicUNet", out_channels=4, features=(8, 8, 16, 16, 32, 8), norm=norm)


def _dynunet(norm: str | tuple[str, dict[str, Any]], **kwargs: Any) -> Entry:
    shape: dict[str, Any] = {"kernel_size": (3,) * 4, "strides": (1, 2, 2, 2), "upsample_kernel_size": (2,) * 3}
    return _monai("DynUNet", out_channels=4, filters=(8, 16, 16, 32), norm_name=norm, **shape, **kwargs)


def _segresnet(norm: str | tuple[str, dict[str, Any]], **kwargs: Any) -> Entry:
    blocks = {"blocks_down": (1, 2, 1), "blocks_up": (1, 1)}
    return _monai("SegResNet", out_channels=4, init_filters=16, norm=norm, **blocks, **kwargs)


def _nnunet(name: str, *, dimensions: int = 2, deep_supervision: bool = False, **depths: Any) -> Entry:
    """A network as nnU-Net's planner writes it: biased convolutions, affine InstanceNorm, LeakyReLU.

    In three dimensions it is as for thick slices: neither the first kernel nor the first stride reaches across them.
    """
    flat = dimensions == 2

    def make() -> nn.Module:
        from dynamic_network_architectures.architectures import unet

        return getattr(unet, name)(
            input_channels=1,
            n_stages=4,
            features_per_stage=(8, 16, 32, 32),
            conv_op=nn.Conv2d if flat else nn.Conv3d,
            kernel_sizes=3 if flat else [[1, 3, 3], *[[3] * 3] * 3],
            strides=(1, 2, 2, 2) if flat else [[1] * 3, [1, 2, 2], *[[2] * 3] * 2],
            num_classes=4,
            conv_bias=True,
            norm_op=nn.InstanceNorm2d if flat else nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=deep_supervision,
            **depths,
        )

    return _entry(make, size=(64, 64) if flat else (8, 32, 32), extra=NNUNET)


_PLAIN: dict[str, Any] = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}

ZOO: dict[str, Entry] = {
    "unet-batch": _unet("batch", 0),
    "unet-instance": _unet("instance", 0),
    "unet-residual-batch": _unet("batch", 2),
    "unet-residual-instance": _unet("instance", 2),
    "basicunet-batch": _basic_unet("batch"),
    "basicunet-instance": _basic_unet(_AFFINE),
    "dynunet-batch": _dynunet("batch"),
    "dynunet-instance": _dynunet(_AFFINE),
    "dynunet-residual": _dynunet(_AFFINE, res_block=True),
    "dynunet-supervised": _dynunet(_AFFINE, deep_supervision=True, deep_supr_num=2),
    "attentionunet": _monai("AttentionUnet", out_channels=4, channels=(8, 16, 32), strides=(2, 2)),
    "segresnet-group": _segresnet(("group", {"num_groups": 8})),
    "segresnet-batch": _segresnet("batch"),
    "segresnet-instance": _segresnet("instance"),
    "plainconvunet": _nnunet("PlainConvUNet", **_PLAIN),
    "plainconvunet-supervised": _nnunet("PlainConvUNet", deep_supervision=True, **_PLAIN),
    "residualencoderunet": _nnunet("ResidualEncoderUNet", n_blocks_per_stage=(1, 2, 2, 2), n_conv_per_stage_decoder=1),
    "resnet-basic": _entry(resnets.resnet_basic, channels=3),
    "resnet-bottleneck": _entry(resnets.resnet_bottleneck, channels=3),
    "resnext": _entry(functools.partial(resnets.resnet_bottleneck, groups=4), channels=3),
    "mobilenet": _entry(resnets.mobilenet, channels=3),
}
VOLUMES: dict[str, Entry] = {
    "plainconvunet": _nnunet("PlainConvUNet", dimensions=3, deep_supervision=True, **_PLAIN),
    "residualencoderunet": _nnunet(
        "ResidualEncoderUNet", dimensions=3, n_blocks_per_stage=(1, 1, 1, 1), n_conv_per_stage_decoder=1
    ),
}
"""Networks of nnU-Net's 3d_fullres configurations."""
