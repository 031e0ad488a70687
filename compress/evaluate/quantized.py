"""What `quantize` measured of a file and of the float file that it came from, as a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from compress import records
from compress.errors import InputError
from compress.evaluate.interval import Interval
from compress.files import read_json

SCHEMA = 1
"""The version of the record; raise when its meaning changes."""


def _with_mean(dice: dict[str, float]) -> dict[str, float]:
    if "mean" not in dice:
        raise ValueError("there is no mean")
    return dice


Dice = Annotated[dict[str, float], AfterValidator(_with_mean)]
"""3D Dice: "mean", then every structure."""


@dataclass(frozen=True)
class FileFacts:
    """A file by its content."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Trial:
    """One INT8 file that was scored."""

    method: str
    float_layers: tuple[str, ...]
    """Convolutions that stayed in float."""
    dice: float


@dataclass(frozen=True)
class QuantizeRecord:
    """quantize.json: what was made, what it costs and what it gains; raw times included."""

    schema: int
    phantom: bool
    """True when Dice was measured on synthetic images."""
    kind: str
    improvement: bool
    """Whether it was measured faster than the float file, beyond what that differs from itself."""
    file: FileFacts
    source: FileFacts
    """The float file."""
    method: str | None
    """How ranges were calibrated; None for FP16, which needs none."""
    float_layers: tuple[str, ...]
    layers: int
    """Convolutions of the network."""
    dice_before: Dice
    """Of the float file."""
    dice_after: Dice
    volumes: int
    speedup: Interval
    """Times as fast as the float file."""
    control: Interval
    """The float file against itself (A/A)."""
    latency_s: dict[str, list[float]]
    warnings: tuple[str, ...]
    environment: dict[str, Any]
    trials: tuple[Trial, ...]
    layer_errors: dict[str, float]
    """Layer -> logit error (root mean square) of quantizing it alone; empty when no ranking was needed."""
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    """Processor time of all threads, as `latency_s`; empty where a GPU computes."""
    load: float | None = None
    """The machine's load before timing."""
    layer_seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Layer -> its time in float and in INT8, in seconds; empty where the provider does not time layers."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return records.as_json(self)


def read_quantize_record(path: Path) -> QuantizeRecord:
    """The record that `quantize` left. Raises `InputError` when the file is unreadable or something else."""
    value = read_json(path)
    if isinstance(value, dict) and value.get("schema") != SCHEMA:
        raise InputError(f"{path} is no record of `quantize` of this version.", cure="Quantize again.")
    return records.from_json(QuantizeRecord, value, what=f"a record of `quantize` ({path})", cure="Quantize again.")
