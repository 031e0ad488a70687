"""What `quantize` made: the file, what it costs and what it gains against the float file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.bench.latency import LatencySamples
from compress.bench.report import current_environment
from compress.evaluate.interval import Interval
from compress.evaluate.quantized import SCHEMA, FileFacts, QuantizeRecord
from compress.evaluate.summary import EvaluationReport
from compress.files import digest_file
from compress.runtime.modelfile import ModelFile
from compress.steps.quantizing.search import Found
from compress.text import interval


@dataclass(frozen=True)
class Quantized:
    """What was made, and what it costs and gains against the float file."""

    path: Path
    kind: str
    method: str | None
    float_layers: tuple[str, ...]
    layers: int
    before: EvaluationReport
    after: EvaluationReport
    latency: LatencySamples
    source: ModelFile
    search: Found | None
    phantom: bool

    @property
    def loss(self) -> float:
        """Mean 3D Dice of the float file minus that of the quantized one."""
        return self.before.mean_dice - self.after.mean_dice

    @property
    def speedup(self) -> Interval:
        """Times as fast as the float file."""
        return self.latency.speedup(self.kind)

    @property
    def faster(self) -> bool:
        """Whether the whole interval lies above 1, and above what the float file differs from itself."""
        return self.speedup.low > max(1.0, self.latency.control_ratio.high)

    @property
    def refusal(self) -> str:
        """Why it is no improvement, in one sentence."""
        ratio, control = self.speedup, self.latency.control_ratio
        return (
            f"{self.kind.upper()} is no improvement here: {interval(ratio.median, ratio.low, ratio.high)} "
            f"times as fast as the float file, which is {interval(control.median, control.low, control.high)} "
            f"times as fast as itself, on {current_environment().cpu}."
        )

    def record(self) -> QuantizeRecord:
        """What is stored beside the file."""
        return QuantizeRecord(
            schema=SCHEMA,
            phantom=self.phantom,
            kind=self.kind,
            improvement=self.faster,
            file=FileFacts(self.path.name, digest_file(self.path), self.path.stat().st_size),
            source=FileFacts(self.source.path.name, self.source.sha256, self.source.size),
            method=self.method,
            float_layers=self.float_layers,
            layers=self.layers,
            dice_before=self.before.dice,
            dice_after=self.after.dice,
            volumes=len(self.after.volumes),
            speedup=self.speedup,
            control=self.latency.control_ratio,
            latency_s={name: list(times) for name, times in self.latency.samples.items()},
            warnings=self.latency.warnings,
            environment=vars(current_environment()),
            trials=self.search.trials if self.search else (),
            layer_errors=self.search.errors if self.search else {},
            cpu_s={name: list(times) for name, times in self.latency.cpu.items()},
            load=self.latency.load,
            layer_seconds=self.search.seconds if self.search else {},
        )
