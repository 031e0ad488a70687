"""The folders beside the networks: what a plan, a verdict, scores, a benchmark and a sweep leave where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.rundir.folder import At, Folder


class TargetFiles(Folder):
    """The plan for one target."""

    ratios = At("ratios.yaml")
    plan = At("plan.json")
    widths = At("widths.json")  # the table of widths, and predicted and measured cost


class Planning(Folder):
    """What `sensitivity` and `plan` measured of the dense network, and the widths chosen for each target."""

    sensitivity = At("sensitivity.json")
    sensitivity_plot = At("sensitivity.png")

    def latency(self, provider: str) -> Path:
        """The fitted latency model."""
        return self.root / f"latency-{provider}.json"

    def target(self, name: str) -> TargetFiles:
        """`name` is the target as typed, such as latency=0.1x."""
        return TargetFiles(self.root / name.replace("=", "-"))


class InspectFiles(Folder):
    """What `inspect` tells of one network."""

    statistics = At("statistics.json")
    masks = At("masks.json")
    filters = At("filters.png")
    activations = At("activations.png")
    layers = At("layers.png")
    schematic = At("unet.png")


class GateFiles(Folder):
    """What `gate` leaves of one candidate."""

    verdict = At("verdict.json")
    baseline = At("baseline.json")  # the baseline's scores
    candidate = At("candidate.json")  # the candidate's scores
    summary = At("verdict.md")
    report = At("report.html")  # the page of this verdict
    overlays = At("overlays.png")  # the slices on which the two disagree most


class GateScores(Folder):
    """Scores and masks of one file on one cohort, kept so that no file is scored twice."""

    scores = At("scores.json")

    def mask(self, number: int) -> Path:
        """The masks of case `number` of the cohort."""
        return self.root / f"{number:04d}.npz"


class ScoreFiles(Folder):
    """Scores and pictures of one checkpoint on one cohort."""

    scores = At("metrics.json")
    table = At("metrics.md")

    def overlay(self, kind: str) -> Path:
        """Slices of one kind, such as the best."""
        return self.root / f"overlays_{kind}.png"

    def overlays(self) -> list[Path]:
        """Every such picture that is there."""
        return sorted(self.root.glob("overlays_*.png"))


@dataclass(frozen=True)
class BenchFiles(Folder):
    """One benchmark."""

    provider: str

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"bench-{self.provider}"

    @property
    def record(self) -> Path:
        """Every sample, and Dice per volume."""
        return self.root / f"{self.name}.json"

    @property
    def table(self) -> Path:
        """The table as Markdown."""
        return self.root / f"{self.name}.md"

    @property
    def plot(self) -> Path:
        """Latency, Dice and parameters."""
        return self.root / f"{self.name}.png"


class SweepFiles(Folder):
    """What a sweep leaves beside its networks."""

    results = At("results.json")
    table = At("table.md")
    plot = At("sweep.png")
