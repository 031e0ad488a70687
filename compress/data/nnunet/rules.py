"""`NnunetRules`: the preprocessing and postprocessing that travel with a network that nnU-Net trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compress.data.nnunet.intensity import INTENSITIES, NEEDS_INTENSITIES, SCHEMES, Channel
from compress.data.nnunet.prepare import TiledGeometry, geometry_of, prepare
from compress.data.nnunet.settings import Settings
from compress.data.prepared import Prepared
from compress.data.volume import MAX_CHANNELS, Volume
from compress.errors import CheckpointError

KIND = "nnunet"


@dataclass(frozen=True)
class NnunetRules(Settings):
    """`Settings` as the rules of a network: stored, read back, applied."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        document = asdict(self)
        document["channels"] = [
            {**asdict(channel), "intensities": dict(channel.intensities)} for channel in self.channels
        ]
        return {"kind": KIND, **_listed(document)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NnunetRules:
        """The inverse of `to_json`; `CheckpointError` for anything that it did not write."""
        try:
            rules = cls(
                spacing_mm=_pair(value["spacing_mm"], float),
                size=_pair(value["size"], int),
                channels=tuple(_channel(each) for each in value["channels"]),
                heads=int(value["heads"]),
                region_values=tuple(int(v) for v in value["region_values"]),
                region_names=tuple((str(name), tuple(int(v) for v in of)) for name, of in value["region_names"]),
                transpose=tuple(int(v) for v in value["transpose"]),  # pyright: ignore[reportArgumentType]
                mirror_axes=tuple(int(v) for v in value["mirror_axes"]),
                folds=int(value["folds"]),
                largest_of=tuple(tuple(int(v) for v in each) for each in value["largest_of"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as fault:
            raise CheckpointError(f"nnU-Net's preprocessing rules are damaged: {fault}.") from None
        if wrong := _wrong(rules):
            raise CheckpointError(f"nnU-Net's preprocessing rules are damaged: {wrong}.")
        return rules

    def forward(self, volume: Volume) -> Prepared:
        """The tiles of a volume, whose image may have channels (C, Z, Y, X). Raises `DataError`."""
        images, mask, geometry = prepare(volume.image, volume.mask, volume.spacing, self, volume.case.name)
        return Prepared(images, mask, geometry)

    def geometry_of_numbers(self, numbers: np.ndarray) -> TiledGeometry:
        """The inverse of `TiledGeometry.numbers`; `ValueError` for others."""
        native, first, last, resampled, (nearest, *_) = (tuple(int(n) for n in row) for row in numbers)
        box = tuple(zip(first, last, strict=True))
        return TiledGeometry(self, native, box, resampled, None if nearest < 0 else nearest)  # pyright: ignore

    def resampled(self, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> tuple[int, int]:
        """(rows, columns) of the slices that a volume of `shape` (z, y, x) becomes, nothing cropped."""
        return geometry_of(shape, spacing_mm, self).resampled[1:]


def _channel(value: Mapping[str, Any]) -> Channel:
    known = {str(key): float(number) for key, number in value["intensities"].items()}
    return Channel(str(value["name"]), str(value["scheme"]), value["masked"] is True, known)


def _pair(value: Any, kind: type) -> tuple[Any, Any]:
    first, second = value
    if any(isinstance(v, bool) or not isinstance(v, int | float) or kind(v) != v for v in (first, second)):
        raise ValueError(f"{value} is no pair of numbers")
    return kind(first), kind(second)


def _wrong(rules: NnunetRules) -> str:
    """What of the rules makes no sense, in words; "" when nothing."""
    checks = {
        "spacing_mm": all(0.01 <= s <= 100 for s in rules.spacing_mm),
        "size": all(8 <= n <= 4096 for n in rules.size),
        "channels": 1 <= len(rules.channels) <= MAX_CHANNELS and all(_sound(c) for c in rules.channels),
        "heads": _labelled(rules) or 0 < rules.heads == len(rules.region_values),
        "region_names": len(rules.region_names) == len(rules.region_values),
        "transpose": sorted(rules.transpose) == [0, 1, 2],
        "mirror_axes": sorted(set(rules.mirror_axes)) == sorted(rules.mirror_axes) and set(rules.mirror_axes) <= {0, 1},
        "folds": 1 <= rules.folds <= 100,
        "region_values": all(0 < v < 256 for v in rules.region_values),
    }
    return ", ".join(name for name, sound in checks.items() if not sound)


def _labelled(rules: NnunetRules) -> bool:
    return not rules.region_values and 2 <= rules.heads <= 256


def _sound(channel: Channel) -> bool:
    needed = INTENSITIES if channel.scheme in NEEDS_INTENSITIES else ()
    finite = all(math.isfinite(number) for number in channel.intensities.values())
    return channel.scheme in SCHEMES and finite and all(key in channel.intensities for key in needed)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value
