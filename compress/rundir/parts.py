"""The folders beside the networks: what a plan, a verdict, scores, a benchmark and a sweep leave where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.rundir.folder import At, Folder


class TargetFiles(Folder):
    """The plan for one target."""

    ratios = At("ratios.yaml", "the ratio that was chosen for each block")
    plan = At("plan.json", "what is kept of each channel group at these ratios")
    widths = At("widths.json", "the table of widths, and predicted and measured cost")


class Planning(Folder):
    """What `sensitivity` and `plan` measured of the dense network, and the widths chosen for each target."""

    sensitivity = At("sensitivity.json", "Dice against ratio, each block pruned alone")
    sensitivity_plot = At("sensitivity.png", "the same, drawn")
    depth = At("depth.json", "Dice after each move of depth alone, right after its fit")

    def latency(self, provider: str) -> Path:
        """The fitted latency model."""
        return self.root / f"latency-{provider}.json"

    def folded_latency(self, provider: str) -> Path:
        """The same of the network without the level of full resolution."""
        return self.root / f"latency-{provider}-folded.json"

    def mixed_latency(self, provider: str) -> Path:
        """The latency model of both precisions."""
        return self.root / f"latency-{provider}-int8.json"

    def folded_mixed_latency(self, provider: str) -> Path:
        """The same of the network without the level of full resolution."""
        return self.root / f"latency-{provider}-int8-folded.json"

    def target(self, name: str) -> TargetFiles:
        """`name` is the target as typed, such as latency=0.1x."""
        return TargetFiles(self.root / name.replace("=", "-"))


class InspectFiles(Folder):
    """What `inspect` tells of one network."""

    statistics = At("statistics.json", "norms of the filters, activations and cost of every layer")
    masks = At("masks.json", "which filters the ratios would keep, layer by layer")
    filters = At("filters.png", "histograms of the filters' L1 norms")
    activations = At("activations.png", "how strongly each channel answers")
    layers = At("layers.png", "parameters and multiply-adds of each layer")
    schematic = At("unet.png", "the U-Net with its widths, before and after these ratios")


class GateFiles(Folder):
    """What `gate` leaves of one candidate."""

    verdict = At("verdict.json", "accepted or refused, with every interval, limit and reason")
    baseline = At("baseline.json", "the baseline's scores")
    candidate = At("candidate.json", "the candidate's scores")
    summary = At("verdict.md", "the verdict as tables")
    report = At("report.html", "the page of this verdict")
    overlays = At("overlays.png", "the slices on which the two disagree most")


class GateScores(Folder):
    """Scores and masks of one file on one cohort, kept so that no file is scored twice."""

    scores = At("scores.json", "scores of every case, with the digests they belong to")

    def mask(self, number: int) -> Path:
        """The masks of case `number` of the cohort."""
        return self.root / f"{number:04d}.npz"


class ScoreFiles(Folder):
    """Scores and pictures of one checkpoint on one cohort."""

    scores = At("metrics.json", "every score of every volume")
    table = At("metrics.md", "means and tables of the same")
    tried = At(
        "postprocessing.json",
        "with `export --postprocess auto`: what each rule of post-processing does to the validation volumes",
    )

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

    results = At("results.json", "one record for each combination")
    table = At("table.md", "the same as a table")
    plot = At("sweep.png", "Dice of all combinations, drawn")
