"""Latency of the dense network at any widths: a model fitted to a handful of exported sample networks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime

from compress.bench.latency import time_files
from compress.bench.layer_costs import LatencyModel, measure_latency_model, sample_widths
from compress.bench.mixed import MixedModel
from compress.bench.stats import median
from compress.errors import ConfigError
from compress.evaluate.interval import Interval
from compress.export.onnx import export_checkpoint
from compress.models.build import widths_of
from compress.models.checkpoint import Checkpoint
from compress.prune.allocate import Grid
from compress.prune.budget import narrowed
from compress.prune.plan import PruningPlan
from compress.prune.rebuild import rebuild_checkpoint
from compress.runtime.machine import available_cores, cpu_model
from compress.runtime.proof import prove
from compress.runtime.providers import find_provider
from compress.steps.reuse import Result
from compress.steps.workspace import Workspace

_ROUNDS = 40
TRUSTED = 0.15
"""Leave-one-out error of a latency model above which its user is warned and it is not kept."""


@dataclass(frozen=True)
class Timing:
    """Dense and pruned network timed in turn, in seconds per batch."""

    dense: float
    pruned: float
    share: Interval
    """Pruned over dense in the same round."""
    warnings: tuple[str, ...]
    dense_cpu: float | None = None
    """Processor time of all threads."""
    pruned_cpu: float | None = None
    load: float | None = None
    """The machine's load before timing."""


def refuse_unmeasurable(provider: str) -> None:
    """Raise `ProviderError` when the provider is not there, `ConfigError` when its layers cannot be timed."""
    prove(provider)
    if not find_provider(provider).times_layers:
        raise ConfigError(
            f"Latency cannot be predicted on '{provider}': ONNX Runtime does not time each layer's work there.",
            cure="Plan with --target macs=... or params=..., and measure with `cardiocompress bench`.",
        )


def latency_model(ws: Workspace, dense: Checkpoint, base: PruningPlan, *, provider: str, grid: Grid) -> LatencyModel:
    """The fitted model, measured unless one of the same network, machine and settings is in the run folder.

    base: a plan of the dense network that removes nothing. Widths are those of the grid.
    """
    files = ws.run.planning
    path = files.folded_latency(provider) if is_folded(dense) else files.latency(provider)
    result = Result(path, measured_on(ws, dense, grid))
    return kept_or_measured(ws, result, LatencyModel.from_json, lambda: _measure(ws, dense, base, provider, grid))


def is_folded(dense: Checkpoint) -> bool:
    """Whether the level of full resolution is gone: such a network has a file of its own."""
    return bool((dense.meta.plan or {}).get("space_to_depth"))


Model = TypeVar("Model", LatencyModel, MixedModel)


def kept_or_measured(
    ws: Workspace, result: Result, read: Callable[[Any], Model], measure: Callable[[], Model]
) -> Model:
    """The stored model, or a new one: kept where its samples predict each other, with a warning where they do not."""
    if (stored := result.stored(lambda document: read(document["model"]))) is not None:
        return stored
    model = measure()
    if model.largest_error > TRUSTED:
        ws.progress.warn(
            f"A sample network took {model.largest_error:.0%} more or less than the others predict: a busy machine? "
            f"What was measured is used once and not kept: plan again when the machine is idle."
        )
    else:
        result.store({"model": model.to_json()})
    return model


def measured_on(ws: Workspace, dense: Checkpoint, grid: Grid) -> dict[str, Any]:
    """All that decides what a model of the network's latency is."""
    return {
        "widths": widths_of(dense.network, dense.meta.arguments),
        "size": list(ws.rules.size),
        "batch": ws.config.bench.batch_size,
        "threads": ws.config.bench.threads or available_cores(),
        "grid": [grid.block, grid.below],
        "cpu": cpu_model(),
        "onnxruntime": onnxruntime.__version__,
    }


def _measure(ws: Workspace, dense: Checkpoint, base: PruningPlan, provider: str, grid: Grid) -> LatencyModel:
    with tempfile.TemporaryDirectory(prefix="latency-samples-") as folder:
        paths = export_samples(ws, dense, base, grid, Path(folder))
        ws.progress.note(f"Timing every layer of {len(paths)} sample networks on '{provider}'.")
        return measure_latency_model(paths, **conditions(ws, provider))


def conditions(ws: Workspace, provider: str) -> dict[str, Any]:
    """How sample networks are timed, by `measure_latency_model` and `measure_mixed_model` alike."""
    bench = ws.config.bench
    return {
        "size": ws.rules.size,
        "batch": bench.batch_size,
        "provider": provider,
        "threads": bench.threads,
        "rounds": min(_ROUNDS, bench.rounds),
    }


def export_samples(ws: Workspace, dense: Checkpoint, base: PruningPlan, grid: Grid, folder: Path) -> list[Path]:
    """ONNX files of the network at the widths worth measuring, the dense one first."""
    settings, paths = _sample_counts(base, grid), []
    with ws.progress.task("Exporting sample widths", len(settings)) as task:
        for index, kept in enumerate(settings):
            sample = rebuild_checkpoint(dense, narrowed(base, kept))
            paths.append(export_to(sample, folder / f"sample{index}.onnx"))
            task.advance()
    return paths


def _sample_counts(base: PruningPlan, grid: Grid) -> list[dict[str, int]]:
    """Units per group of every sample, the dense network first."""
    groups = {g.name: g for g in base.channel_groups}
    dense = [g.width * g.per_unit for g in groups.values()]
    widths = sample_widths(dense, alignment=grid.block, below=grid.below)
    return [{n: max(1, w // groups[n].per_unit) for n, w in zip(groups, row, strict=True)} for row in widths]


def export_to(checkpoint: Checkpoint, path: Path) -> Path:
    """Write a checkpoint as ONNX, without the parity check of `export_stage`."""
    return export_checkpoint(checkpoint, path)


def time_pruned(
    ws: Workspace,
    dense: Checkpoint,
    pruned: Checkpoint,
    *,
    provider: str,
    finish: Callable[[Path], Path] = lambda path: path,
) -> Timing:
    """Export both networks and time them in turn for `bench.rounds` rounds.

    finish: makes the file that is timed of the pruned network's float file.
    """
    bench = ws.config.bench
    with tempfile.TemporaryDirectory(prefix="latency-check-") as folder:
        whole, small = (
            export_to(network, Path(folder, name)) for network, name in ((dense, "d.onnx"), (pruned, "p.onnx"))
        )
        found = time_files(
            {"dense": whole, "pruned": finish(small)},
            shape=(bench.batch_size, dense.meta.arguments["in_channels"], *ws.rules.size),
            provider=provider,
            threads=bench.threads,
            rounds=bench.rounds,
            warmup=bench.warmup,
        )
    speedup = found.speedup("pruned")
    share = Interval(1 / speedup.median, 1 / speedup.high, 1 / speedup.low)
    dense_cpu, pruned_cpu = (median(found.cpu[name]) if found.cpu else None for name in ("dense", "pruned"))
    return Timing(
        median(found.samples["dense"]),
        median(found.samples["pruned"]),
        share,
        found.warnings,
        dense_cpu,
        pruned_cpu,
        found.load,
    )
