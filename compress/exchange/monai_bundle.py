"""A MONAI bundle's folder, where its configuration is plain data: the network, its arguments, weights and labels.

Nothing of a bundle runs: MONAI's "$..." are Python, "@..." and "%..." point elsewhere, and neither is evaluated. How
its images are prepared are transforms, which no file can be proven to equal: that is said by whoever imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.config.read import read_yaml
from compress.errors import ConfigError
from compress.files import read_json
from compress.outside import is_there

_INFERENCE = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
_METADATA = "configs/metadata.json"
_WEIGHTS = ("models/model.pt", "models/model.pth", "models/model.safetensors")
_NETS = "monai.networks.nets"
_HOW = "Write its factory, weights and arguments out: import-torch module:factory weights.pth --preprocessing FILE.yaml"


@dataclass(frozen=True)
class Bundle:
    """What a bundle says in plain data."""

    factory: str
    network: dict[str, Any]
    weights: Path
    labels: dict[str, int] | None
    """Structure -> value, by its metadata.json; None where that does not say."""


def read_bundle(folder: Path) -> Bundle:
    """The network of a bundle. Raises `ConfigError` in one line for what is missing or not plain."""
    path = _one_of(folder, _INFERENCE)
    document = read_json(path) if path.suffix == ".json" else read_yaml(path, named=False, what="the bundle's")
    told = document.get("network_def") if isinstance(document, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("_target_"), str):
        raise ConfigError(f"{path} has no network_def with a _target_.", cure=_HOW)
    if unlike := _not_plain(told, "network_def"):
        raise ConfigError(f"{path}: {unlike}, which is not evaluated.", cure=_HOW)
    if told.get("spatial_dims", 2) != 2:
        raise ConfigError(f"{path}: spatial_dims is {told['spatial_dims']}; networks of 2 dimensions are imported.")
    if told.get("pretrained"):
        raise ConfigError(f"{path}: pretrained asks for a download; the bundle's own weights are read.", cure=_HOW)
    arguments = {key: value for key, value in told.items() if not key.startswith("_")}
    return Bundle(_factory(told["_target_"], path), arguments, _one_of(folder, _WEIGHTS), _labels(folder))


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    found = next((folder / name for name in names if is_there(folder / name)), None)
    if found is None:
        raise ConfigError(f"{folder} is no MONAI bundle of plain data: it has none of {', '.join(names)}.", cure=_HOW)
    return found


def _not_plain(value: Any, place: str) -> str:
    """Where and what is more than data, in words; "" where nothing is."""
    if isinstance(value, str) and value[:1] in ("$", "@", "%"):
        return f"{place} is {value[:60]!r}"
    if isinstance(value, Mapping):
        for key, each in value.items():
            if str(key).startswith("_") and (key != "_target_" or place != "network_def"):
                return f"{place} has {key}"
            if found := _not_plain(each, f"{place}.{key}"):
                return found
    if isinstance(value, list):
        return next(filter(None, (_not_plain(each, f"{place}.{at}") for at, each in enumerate(value))), "")
    return ""


def _factory(target: str, path: Path) -> str:
    """Of one network's names: "UNet", "monai.networks.nets.UNet" and "monai.networks.nets.unet.UNet" are one."""
    module, _, name = target.rpartition(".")
    if not name.isidentifier() or (module and module != _NETS and not module.startswith(f"{_NETS}.")):
        raise ConfigError(f"{path}: the network is {target[:80]!r}; of a bundle only those of {_NETS} are.", cure=_HOW)
    return f"{_NETS}:{name}"


def _labels(folder: Path) -> dict[str, int] | None:
    """The channels of the first output but the background."""
    if not is_there(folder / _METADATA):
        return None
    try:
        outputs = read_json(folder / _METADATA)["network_data_format"]["outputs"]
        channels = {int(number): str(name) for number, name in next(iter(outputs.values()))["channel_def"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        return None
    return {name: value for value, name in sorted(channels.items()) if value > 0} or None
