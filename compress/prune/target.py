"""What a network shall cost after pruning: a quantity and how much of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from compress.errors import ConfigError

Quantity = Literal["latency", "macs", "params"]
_UNITS: dict[str, dict[str, float]] = {
    "latency": {"s": 1.0, "ms": 1e-3},
    "macs": {"M": 1e6, "G": 1e9},
    "params": {"k": 1e3, "M": 1e6},
}
"""Besides x, which is a share of the dense network's."""


@dataclass(frozen=True)
class Target:
    """A bound on what the pruned network costs."""

    text: str
    """As typed, such as latency=0.1x."""
    quantity: Quantity
    value: float
    """A share of the dense network's, or seconds, multiply-adds, parameters."""
    relative: bool

    def share(self, dense: float) -> float:
        """The bound as a share of what the dense network costs. Raises `ConfigError` when it already fits."""
        share = self.value if self.relative else self.value / dense
        if share >= 1:
            raise ConfigError(
                f"The dense network already meets the target {self.text}: there is nothing to prune.",
                cure=f"Choose a smaller one, such as {self.quantity}=0.5x.",
            )
        return share


def parse_target(text: str) -> Target:
    """ "latency=0.1x", "latency=5ms", "macs=200M", "params=0.05x". Raises `ConfigError` for anything else."""
    quantity, _, amount = text.strip().partition("=")
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(x|[a-zA-Z]+)", amount)
    units = _UNITS.get(quantity, {})
    if quantity not in _UNITS or not found or (found[2] != "x" and found[2] not in units):
        raise ConfigError(_wrong(text, quantity))
    value, relative = float(found[1]), found[2] == "x"
    if value <= 0 or (relative and value >= 1):
        raise ConfigError(f"The target {text} cannot be: a share between 0x and 1x or a positive amount is needed.")
    chosen: Quantity = next(q for q in get_args(Quantity) if q == quantity)
    return Target(text.strip(), chosen, value * (1.0 if relative else units[found[2]]), relative)


def _wrong(text: str, quantity: str) -> str:
    if quantity not in _UNITS:
        return f"The target '{text}' names no known quantity. Known: {', '.join(f'{q}=0.1x' for q in _UNITS)}."
    units = ", ".join(["x (share of dense)", *_UNITS[quantity]])
    return f"The target '{text}' does not say how much. A number with one of these is needed: {units}."
