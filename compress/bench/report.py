"""The benchmark's record: raw samples, figures and warnings, as data and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compress import records
from compress.bench.environment import Environment, Settings, current_environment, settings_of
from compress.bench.latency import SEED, LatencySamples
from compress.bench.memory import MemoryReport
from compress.bench.model_facts import ModelFacts
from compress.bench.stats import median, p90, throughput
from compress.errors import InputError
from compress.evaluate.interval import Interval
from compress.runtime.placement import PlacedNode
from compress.runtime.session import Session

Dice = Mapping[str, Mapping[str, float]]
"""Model name -> structure ("mean", "RV", ...) -> 3D Dice."""


@dataclass(frozen=True)
class ModelBench:
    """Everything measured of one model. Seconds, bytes and counts."""

    name: str
    """The file's stem."""
    provider_asked: str
    provider_proven: str
    threads: int
    tf32: bool | None
    """As asked; None where there is none."""
    latency_s: tuple[float, ...]
    """Raw samples per batch, in order of rounds."""
    median_s: float
    p90_s: float | None
    speedup: Interval
    """Baseline time over this model's time, paired by round."""
    images_per_s: float
    peak_memory_bytes: int | None
    imports_memory_bytes: int | None
    file_bytes: int
    parameters: int
    macs: int
    """Per image."""
    mac_reduction: float
    """Baseline MACs over this model's MACs."""
    efficiency: float
    """Speed-up over MAC reduction: 1 means that every removed operation was saved."""
    widths: dict[str, int]
    dice: dict[str, float] | None
    settings: Settings
    placement: tuple[PlacedNode, ...]
    """Which provider computed which node."""
    sha256: str
    """The digest of the file."""
    cpu_s: tuple[float, ...] | None = None
    """Raw samples of the processor time of all threads; None on a GPU and in records of before 0.6."""
    cpu_median_s: float | None = None
    device_latency_s: tuple[float, ...] | None = None
    """Raw samples with input and output already on the GPU; None on the CPU, where nothing is copied."""
    device_median_s: float | None = None
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True)
class BenchReport:
    """One benchmark: the models in order, the baseline first."""

    shape: tuple[int, int, int, int]
    """(N, C, H, W) of the timed batch."""
    seed: int
    baseline: str
    models: tuple[ModelBench, ...]
    control_s: tuple[float, ...]
    """The baseline's second series."""
    control_ratio: Interval
    """The baseline over itself: what this machine calls no difference."""
    environment: Environment
    warnings: tuple[str, ...]
    phantom: bool
    """True when the Dice figures come from synthetic images."""
    dice_per_volume: dict[str, dict[str, float]] = field(default_factory=dict)
    """Model -> volume, such as "patient001_ED" -> mean 3D Dice; empty when Dice was not measured."""
    control_cpu_s: tuple[float, ...] = ()
    """The processor time of the baseline's second series."""
    by_cpu: bool = False
    """Whether ratios are those of processor times, because the wall's were unsteady."""
    load: float | None = None
    """The machine's load before timing."""

    @property
    def base(self) -> ModelBench:
        """The baseline."""
        return next(model for model in self.models if model.name == self.baseline)

    @property
    def others(self) -> list[ModelBench]:
        """All but the baseline."""
        return [model for model in self.models if model.name != self.baseline]

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps` and `from_json`."""
        return records.as_json(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BenchReport:
        """The report that `to_json` wrote. Raises `DataError` naming the first fault."""
        return records.from_json(cls, value, what="a benchmark report", cure="Run the benchmark again.")


def build_report(
    latency: LatencySamples,
    sessions: Mapping[str, Session],
    *,
    memory: Mapping[str, MemoryReport],
    facts: Mapping[str, ModelFacts],
    dice: Dice | None = None,
    phantom: bool = False,
) -> BenchReport:
    """Join what was measured of the same models; every mapping goes by the names in `latency`.

    `dice` None means that there was no data. Raises `InputError` when a model lacks a figure.
    """
    names = list(latency.samples)
    for kind, mapping in (("session", sessions), ("memory", memory), ("facts", facts), ("Dice", dice)):
        missing = [name for name in names if mapping is not None and name not in mapping]
        if missing:
            raise InputError(f"The benchmark lacks the {kind} of: {', '.join(missing)}.")
    warnings = [*latency.warnings]
    for name in names:
        warnings += [f"{name}: {text}" for text in (*memory[name].warnings, *facts[name].warnings)]
    return BenchReport(
        shape=latency.shape,
        seed=SEED,
        baseline=latency.baseline,
        models=tuple(_row(n, latency, sessions[n], memory[n], facts, dice[n] if dice else None) for n in names),
        control_s=latency.control,
        control_ratio=latency.control_ratio,
        environment=current_environment(),
        warnings=tuple(dict.fromkeys(warnings)),
        phantom=phantom,
        control_cpu_s=latency.cpu_control,
        by_cpu=latency.by_cpu,
        load=latency.load,
    )


def _row(
    name: str,
    latency: LatencySamples,
    session: Session,
    memory: MemoryReport,
    facts: Mapping[str, ModelFacts],
    dice: Mapping[str, float] | None,
) -> ModelBench:
    samples, own, speedup = latency.samples[name], facts[name], latency.speedup(name)
    device, cpu = latency.device.get(name), latency.cpu.get(name)
    reduction = facts[latency.baseline].macs / own.macs
    return ModelBench(
        name=name,
        provider_asked=session.provider_asked,
        provider_proven=session.provider_proven,
        threads=session.details["threads"],
        tf32=session.details["tf32"],
        latency_s=samples,
        median_s=median(samples),
        p90_s=p90(samples),
        speedup=speedup,
        images_per_s=throughput(samples, images=latency.shape[0]),
        peak_memory_bytes=memory.peak_bytes,
        imports_memory_bytes=memory.imports_bytes,
        file_bytes=own.file_bytes,
        parameters=own.parameters,
        macs=own.macs,
        mac_reduction=reduction,
        efficiency=speedup.median / reduction,
        widths=dict(own.widths),
        dice=dict(dice) if dice is not None else None,
        cpu_s=cpu,
        cpu_median_s=median(cpu) if cpu else None,
        device_latency_s=device,
        device_median_s=median(device) if device else None,
        gpu_memory_bytes=memory.gpu_bytes,
        settings=settings_of(session),
        placement=session.placement,
        sha256=session.file.sha256,
    )
