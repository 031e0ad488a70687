"""What dataset.json says of the labels: structures with their values, regions in the order of painting."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.data.label_values import structure_of
from compress.errors import ConfigError

_IGNORE = "ignore"
_MOST = 255


@dataclass(frozen=True)
class Labels:
    """What the heads of a network mean."""

    values: dict[str, int]
    """Structure or region -> the value that it has, or paints, in the mask; in the order of the heads for regions."""
    regions: dict[str, tuple[int, ...]]
    """Region -> the values that it is made of; empty where every structure has one value."""

    @property
    def heads(self) -> int:
        return len(self.values) if self.regions else len(self.values) + 1


def read_labels(dataset: Mapping[str, Any]) -> Labels:
    """Raises `ConfigError` for labels that nnU-Net does not take either, and for masks of more than 255 values."""
    told = dataset.get("labels")
    if not isinstance(told, Mapping):
        raise ConfigError("dataset.json has no 'labels' table.")
    if all(str(key).isdigit() and isinstance(value, str) for key, value in told.items()):
        raise ConfigError(
            "dataset.json names labels as version 1 of nnU-Net did.", cure="Convert the data set with nnU-Net 2."
        )
    try:
        every = {str(name): _values(value) for name, value in told.items() if name != _IGNORE}
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"dataset.json has labels that are no whole numbers: {reprlib.repr(dict(told))}.") from None
    shown = {name: value for name, value in every.items() if set(value) != {0}}
    if not shown:
        raise ConfigError("dataset.json names nothing but background.")
    regions = any(len(value) > 1 for value in every.values())
    values = _painted(dataset, shown) if regions else {name: value[0] for name, value in shown.items()}
    if sorted(values.values()) != list(range(1, len(values) + 1)) or len(values) > _MOST:
        got = reprlib.repr(sorted(values.values()))
        raise ConfigError(f"Label values are {got}; 1 to their number is needed, {_MOST} at most.")
    names = _plain_names(list(values))
    named = {names[name]: value for name, value in values.items()}
    return Labels(
        named if regions else dict(sorted(named.items(), key=lambda item: item[1])),
        {names[name]: shown[name] for name in values} if regions else {},
    )


def _painted(dataset: Mapping[str, Any], shown: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    order = dataset.get("regions_class_order")
    if not isinstance(order, list) or len(order) != len(shown) or any(type(v) is not int for v in order):
        raise ConfigError(f"dataset.json has {len(shown)} regions, and regions_class_order is {reprlib.repr(order)}.")
    return dict(zip(shown, order, strict=True))


def _values(value: Any) -> tuple[int, ...]:
    found = tuple(sorted({_whole(v) for v in value})) if isinstance(value, list) else (_whole(value),)
    if not found:
        raise ValueError("empty")
    return found


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or not 0 <= value <= 65535:
        raise ValueError(value)
    return int(value)


def _plain_names(names: list[str]) -> dict[str, str]:
    """Names as a model card takes them; RV, MYO and LV where that is what they mean, if each is meant once."""
    meant = {name: structure_of(name) for name in names}
    heart = {name: s for name, s in meant.items() if s is not None}
    if len(set(heart.values())) != len(heart):
        heart = {}
    plain = {name: heart.get(name) or _plain(name) for name in names}
    taken: dict[str, str] = {}
    for name, word in plain.items():
        while word in taken.values():
            word = f"{word[:28]}_2"
        taken[name] = word
    return taken


def _plain(name: str) -> str:
    word = re.sub(r"[^A-Za-z0-9_ -]", "_", name).strip() or "structure"
    return (word if word[0].isalpha() else f"s{word}")[:31]
