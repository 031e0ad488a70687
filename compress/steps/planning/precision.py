"""Latency at any widths and in both precisions: sample networks, each as float32 and as INT8, measured together."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compress.bench.mixed import MixedModel, measure_mixed_model
from compress.errors import ConfigError
from compress.export.quantize import calibrate, prepare_int8, quantize_int8
from compress.models.checkpoint import Checkpoint
from compress.prune.allocate import Grid
from compress.prune.plan import PruningPlan
from compress.prune.target import Target
from compress.steps.planning.latency import conditions, export_samples, is_folded, kept_or_measured, measured_on
from compress.steps.reuse import Result
from compress.steps.workspace import Workspace

_IMAGES = 2
"""Of noise: ranges decide nothing about time."""


def refuse_precision(precision: str, target: Target) -> None:
    """Raise `ConfigError` for INT8 with a target that INT8 does not change."""
    if precision == "int8" and target.quantity != "latency":
        raise ConfigError(
            f"INT8 changes how long a network takes, not its {target.quantity}: --precision int8 needs a latency.",
            cure="Use --target latency=..., or leave --precision out.",
        )


def mixed_model(ws: Workspace, dense: Checkpoint, base: PruningPlan, *, provider: str, grid: Grid) -> MixedModel:
    """The fitted model, measured unless one of the same network, machine and settings is in the run folder.

    base: a plan of the dense network that removes nothing. Widths are those of the grid.
    """
    files = ws.run.planning
    path = files.folded_mixed_latency(provider) if is_folded(dense) else files.mixed_latency(provider)
    result = Result(path, measured_on(ws, dense, grid))
    return kept_or_measured(ws, result, MixedModel.from_json, lambda: _measure(ws, dense, base, provider, grid))


def _measure(ws: Workspace, dense: Checkpoint, base: PruningPlan, provider: str, grid: Grid) -> MixedModel:
    with tempfile.TemporaryDirectory(prefix="latency-samples-") as folder:
        floats = export_samples(ws, dense, base, grid, Path(folder))
        int8 = [write_int8(path, image=image_of(ws, dense)) for path in floats]
        ws.progress.note(f"Timing every layer of {len(floats)} sample networks in float32 and INT8 on '{provider}'.")
        return measure_mixed_model(floats, int8, **conditions(ws, provider))


def image_of(ws: Workspace, network: Checkpoint) -> tuple[int, int, int]:
    """(C, H, W) of what the network sees."""
    return (network.meta.arguments["in_channels"], *ws.rules.size)


def write_int8(model: Path, *, image: tuple[int, int, int], keep_float: Sequence[str] = ()) -> Path:
    """Write the INT8 file of a float one beside it, with ranges of noise: right for timing, and for nothing else.

    image: (C, H, W).
    """
    with tempfile.TemporaryDirectory(prefix="int8-") as scrap:
        prepared = prepare_int8(model, Path(scrap, "prepared.onnx"))
        images = np.random.default_rng(0).standard_normal((_IMAGES, *image)).astype(np.float32)
        ranges = calibrate(prepared, images, method="minmax", folder=Path(scrap))
        return quantize_int8(ranges, model.with_suffix(".int8.onnx"), keep_float=keep_float)
