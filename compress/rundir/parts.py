"""The folders beside the networks: what a plan and a verdict leave where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Planning:
    """What `sensitivity` and `plan` measured of the dense network, and the widths chosen for each target."""

    root: Path

    @property
    def sensitivity(self) -> Path:
        return self.root / "sensitivity.json"

    @property
    def sensitivity_plot(self) -> Path:
        return self.root / "sensitivity.png"

    def latency(self, provider: str) -> Path:
        """The fitted latency model."""
        return self.root / f"latency-{provider}.json"

    def target(self, name: str) -> TargetFiles:
        """`name` is the target as typed, such as latency=0.1x."""
        return TargetFiles(self.root / name.replace("=", "-"))


@dataclass(frozen=True)
class TargetFiles:
    """The plan for one target."""

    root: Path

    @property
    def ratios(self) -> Path:
        return self.root / "ratios.yaml"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def widths(self) -> Path:
        """The table of widths, and predicted and measured cost."""
        return self.root / "widths.json"


@dataclass(frozen=True)
class GateFiles:
    """What `gate` leaves of one candidate."""

    root: Path

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def baseline(self) -> Path:
        """The baseline's scores."""
        return self.root / "baseline.json"

    @property
    def candidate(self) -> Path:
        """The candidate's scores."""
        return self.root / "candidate.json"

    @property
    def summary(self) -> Path:
        return self.root / "verdict.md"

    @property
    def overlays(self) -> Path:
        """The slices on which the two disagree most."""
        return self.root / "overlays.png"

    @property
    def report(self) -> Path:
        """The page of this verdict."""
        return self.root / "report.html"
