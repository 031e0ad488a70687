"""nnU-Net's plans of any version: one configuration with what it inherits, and the network that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compress.errors import ConfigError
from compress.models.nnunet import MAX_STAGES

_INHERIT = "inherits_from"
_CLASSES = ("conv_op", "norm_op", "dropout_op", "nonlin")
_OLD_BLOCKS = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}


def resolved(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration together with all that it inherits. Raises `ConfigError` for unknown names and circles."""
    known, chain = plans.get("configurations"), []
    while isinstance(known, Mapping):
        if name in chain or name not in known or not isinstance(known[name], Mapping):
            what = "inherits from itself" if name in chain else "is not in the plans"
            raise ConfigError(f"The configuration {name!r} {what}; they hold {', '.join(map(str, known))}.")
        chain.append(name)
        name = known[name].get(_INHERIT, "")
        if not name:
            return {k: v for each in reversed(chain) for k, v in known[each].items() if k != _INHERIT}
    raise ConfigError("plans.json holds no configurations.", cure="It is no file of nnU-Net's version 2.")


def architecture(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The network's class and its settings, classes by their last names; from old plans as nnU-Net reads them.

    Raises `ConfigError` for plans that describe none.
    """
    try:
        if "architecture" in configuration:
            told = configuration["architecture"]
            return _last(told["network_class_name"]), _settings(told["arch_kwargs"])
        return _old(configuration)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ConfigError(f"The plans do not describe their network: {fault!r}.") from None


def written(network: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The `architecture` block of new plans for a network of these settings."""
    places = {"conv_op": "torch.nn.modules.conv", "norm_op": "torch.nn.modules." + _norm_module(settings)}
    kwargs = dict(settings)
    for key in _CLASSES:
        if kwargs.get(key) is not None:
            kwargs[key] = f"{places.get(key, 'torch.nn')}.{kwargs[key]}"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
        "arch_kwargs": kwargs,
        "_kw_requires_import": list(_CLASSES),
    }


def _norm_module(settings: Mapping[str, Any]) -> str:
    return "batchnorm" if str(settings.get("norm_op")).startswith("BatchNorm") else "instancenorm"


def _settings(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {key: _last(v) if key in _CLASSES and v is not None else v for key, v in kwargs.items()}
    settings.pop("deep_supervision", None)
    stages = int(settings["n_stages"])
    if not 1 <= stages <= MAX_STAGES or len(settings["strides"]) != stages:
        raise ValueError(f"{stages} stages")
    if isinstance(settings["features_per_stage"], int):
        settings["features_per_stage"] = [settings["features_per_stage"]] * stages
    return settings


def _old(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = _last(configuration["UNet_class_name"])
    if name not in _OLD_BLOCKS:
        raise ValueError(f"unknown UNet_class_name {name}")
    counts, dims = configuration["n_conv_per_stage_encoder"], len(configuration["patch_size"])
    base, most = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
    return name, _settings(
        {
            "n_stages": len(counts),
            "features_per_stage": [min(base * 2**i, most) for i in range(len(counts))],
            "conv_op": f"Conv{dims}d",
            "kernel_sizes": configuration["conv_kernel_sizes"],
            "strides": configuration["pool_op_kernel_sizes"],
            _OLD_BLOCKS[name]: counts,
            "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }
    )


def _last(dotted: str) -> str:
    return str(dotted).rpartition(".")[2]
