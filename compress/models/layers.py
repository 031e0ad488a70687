"""What one layer with weights is and costs, whether it was read from a torch network or from an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "transposed", "linear"]


@dataclass(frozen=True)
class Layer:
    """One call of a layer with weights, for one image; two that differ only in name cost the same."""

    name: str
    """Module name."""
    kind: Kind
    inputs: int
    """Input channels."""
    outputs: int
    """Output channels."""
    kernel: int
    """Taps per input channel: 9 for 3x3, 1 for a linear layer."""
    positions: int
    """Output height x width."""
    groups: int
    sweeps: int
    """How often the whole weight is used: output positions, for a transposed convolution input positions."""

    @property
    def macs(self) -> int:
        """Multiply-adds; a bias is not counted."""
        return self.sweeps * self.inputs * self.outputs * self.kernel // self.groups

    @property
    def family(self) -> tuple[Kind, int, int, int]:
        """What pruning channels does not change: (kind, kernel, positions, groups)."""
        return self.kind, self.kernel, self.positions, self.groups
