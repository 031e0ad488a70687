"""Any network with its weights as a checkpoint of ours: MONAI's, or one of a person's own factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import nn

from compress.config.read import read_yaml
from compress.data.rules import Rules, rules_from_json
from compress.errors import CheckpointError, ConfigError
from compress.exchange.archive import MAX_WEIGHTS
from compress.exchange.monai_bundle import Bundle
from compress.exchange.results import all_plain, load_torch
from compress.models.build import build, misfits, outline
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.factory import trust
from compress.outside import read_bytes

_KEYS = {"preprocessing", "labels", "network"}
_NESTED = ("state_dict", "model_state_dict", "model", "network_weights", "net")
_EXAMPLE = (
    "preprocessing: {spacing_mm: [1.5, 1.5], size: [160, 160], clip_percentiles: [0.5, 99.5]}; labels: {RV: 1, ...}"
)


def import_torch(factory: str, weights: Path, description: Path) -> Checkpoint:
    """The network that `factory` makes, filled with `weights` (.pth, .pt or .safetensors; never a pickle of code).

    description: a YAML file with `preprocessing` (as data.spacing_mm, data.size and data.clip_percentiles), `labels`
    (structure: value) and, where the factory takes arguments, `network`. Raises `InputError` and its kinds.
    """
    trust(factory)
    return _imported(factory, weights, *_described(description))


def import_bundle(bundle: Bundle, description: Path) -> Checkpoint:
    """The network of a MONAI bundle, as `import_torch`.

    description: its `preprocessing`; `labels` are the bundle's own unless the file names others.
    """
    rules, labels, _ = _described(description, bundle)
    return _imported(bundle.factory, bundle.weights, rules, labels, bundle.network)


def _imported(
    factory: str, weights: Path, rules: Rules, labels: dict[str, int], arguments: dict[str, Any]
) -> Checkpoint:
    document = {"factory": factory, "in_channels": 1, "out_channels": len(labels) + 1, "network": arguments}
    tensors = _weights(weights)
    _check_fits(outline("factory", document, tensors=len(tensors)), tensors, weights)
    network = build("factory", document)
    network.load_state_dict(dict(tensors))
    _try(network, rules, len(labels) + 1, factory)
    return Checkpoint(network, Meta("factory", document, labels, rules.to_json()))


def _described(path: Path, bundle: Bundle | None = None) -> tuple[Rules, dict[str, int], dict[str, Any]]:
    found = read_yaml(path, what="the description", cure=f"Write one, such as {_EXAMPLE}")
    if bundle is not None:
        if "network" in found:
            raise ConfigError(f"{path} has network, which a bundle says itself.", cure="Leave it out.")
        found = {"labels": bundle.labels, **found} if bundle.labels else found
    if not {"preprocessing", "labels"} <= found.keys() <= _KEYS:
        raise ConfigError(f"{path} must hold preprocessing, labels and perhaps network.", cure=f"Such as {_EXAMPLE}")
    labels, network = found["labels"], found.get("network") or {}
    whole = isinstance(labels, dict) and all(type(value) is int for value in labels.values())
    if not whole or sorted(labels.values()) != list(range(1, len(labels) + 1)) or not labels:
        raise ConfigError(f"{path}: labels are {labels}; structures with the values 1 to their number are needed.")
    if not isinstance(network, dict):
        raise ConfigError(f"{path}: network is {network!r}; the factory's arguments by name are needed.")
    try:
        rules = rules_from_json(found["preprocessing"])
        _check(rules)
    except (CheckpointError, TypeError, ValueError) as fault:
        raise ConfigError(f"{path}: preprocessing is not understood: {fault}", cure=f"Such as {_EXAMPLE}") from None
    return rules, {str(name): value for name, value in labels.items()}, network


def _check(rules: Rules) -> None:
    if not all(isinstance(n, int) and 8 <= n <= 1024 for n in rules.size) or len(rules.size) != 2:
        raise ValueError(f"size is {list(rules.size)}, not two whole numbers from 8 to 1024.")
    if len(rules.spacing_mm) != 2 or not all(0.1 <= s <= 20 for s in rules.spacing_mm):
        raise ValueError(f"spacing_mm is {list(rules.spacing_mm)}, not two lengths from 0.1 to 20.")


def _weights(path: Path) -> dict[str, torch.Tensor]:
    content = read_bytes(path, most=MAX_WEIGHTS, named=True, fault=CheckpointError)
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(content)
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as fault:
            raise CheckpointError(f"{path} is no readable safetensors file: {' '.join(str(fault).split())}.") from None
    found = load_torch(content, str(path))
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(v, torch.Tensor) for v in found.values()) or not found:
        raise CheckpointError(f"{path} holds no state dict of tensors.")
    return {str(name).removeprefix("module.").removeprefix("_orig_mod."): value for name, value in found.items()}


def _check_fits(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    own = network.state_dict(keep_vars=True)
    if len({id(value) for value in own.values()}) < len(own):
        raise ConfigError("The network has tensors under several names; such networks are not stored.")
    if wrong := misfits(network, tensors):
        raise CheckpointError(
            f"{path} does not fit the network: {len(wrong)} tensors differ, such as {wrong[0][:80]}.",
            cure="Give the factory's arguments under `network` in the YAML file; for a file of compress.prune.save "
            "name a function that returns compress.prune.load(build, file).",
        )
    if not all_plain(tensors):
        raise CheckpointError(f"{path} holds weights that are not finite, or no plain numbers.")


def _try(network: nn.Module, rules: Rules, classes: int, factory: str) -> None:
    try:
        with torch.inference_mode():
            found = network(torch.zeros(1, 1, *rules.size))
    except (RuntimeError, TypeError, ValueError, IndexError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise ConfigError(f"{factory} fails on an image of {list(rules.size)}: {reason}") from None
    got = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if got != [1, classes, *rules.size]:
        raise ConfigError(f"{factory} gives {got} for one image; logits {[1, classes, *rules.size]} are needed.")
