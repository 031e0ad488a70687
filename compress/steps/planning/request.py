"""What is asked of `plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compress.prune.target import Target
from compress.steps.planning.sensitivity import SLICES


@dataclass(frozen=True)
class BudgetRequest:
    """What is asked of `plan_budget`."""

    target: Target
    provider: str = "cpu"
    align: int | str | None = None
    """Channels per multiple, or none; null: the provider's vector width."""
    slices: int = SLICES
    depth: bool = True
    """Whether double convolutions may become single ones, and the level of full resolution may go."""
    precision: Literal["float32", "int8"] = "float32"
    """int8: each layer in the precision that makes the whole network fastest."""
    out: Path | None = None
    """Where ratios.yaml goes; null: into the run folder."""
