"""`bench` where there is no configuration: self-test, speed, memory and size of files on the machine that runs them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.bench.environment import current_environment
from compress.bench.latency import LatencySamples, cpu_clock_of, measure_latency
from compress.bench.machine_report import KIND, SCHEMA, FileBench, MachineBench
from compress.bench.memory import MemoryReport, measure_memory
from compress.bench.names import named_models
from compress.bench.stats import median
from compress.bundle.contents import BASELINE, MODEL
from compress.bundle.files import check_files
from compress.errors import ConfigError, GateError, InputError
from compress.files import check_writable, read_json, write_json
from compress.progress import Progress
from compress.runtime.card import ModelCard, read_card
from compress.runtime.modelfile import read_model_file
from compress.runtime.placement import count_nodes
from compress.runtime.session import Session, open_session
from compress.runtime.verify import Verification, verify
from compress.runtime.versions import versions

DEFAULT_OUT = Path("bench.json")


@dataclass(frozen=True)
class MeasureRequest:
    """What is asked of `measure_files`."""

    provider: str = "cpu"
    threads: int | None = None
    rounds: int = 100
    warmup: int = 10
    batch_size: int = 1


@dataclass(frozen=True)
class _Opened:
    """One file that passed its own test."""

    session: Session
    card: ModelCard
    test: Verification


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The ONNX files: of a bundle's folder its baseline, where it has one, and its model.

    Raises `GateError` for a bundle that is not as it was shipped, `ModelFileError` for a folder that is none.
    """
    return [file for path in paths for file in (_shipped(path) if os.path.isdir(path) else [path])]  # noqa: PTH112


def _shipped(folder: Path) -> list[Path]:
    found = check_files(folder)
    if found.manifest is None or found.changes:
        raise GateError(f"{folder}: {'; '.join(found.changes[:3])}.", cure="Do not use it: ask for the bundle again.")
    return [folder / name for name in (BASELINE, MODEL) if name in found.manifest.models]


def measure_files(paths: Sequence[Path], request: MeasureRequest, *, out: Path, progress: Progress) -> MachineBench:
    """Run every file's self-test, time all of them in turn, and write the record to `out`; the first is the baseline.

    Raises `ConfigError` for files of different image sizes and an `out` that is somebody else's, `GateError` for a
    file that was altered, and what opening and running a file raises.
    """
    _refuse_foreign(out)
    models = named_models(files_of(paths))
    opened = {name: _open(path, request) for name, path in models.items()}
    shape = _shape(opened, request.batch_size)
    progress.note(f"Timing {len(models)} files, {request.rounds} interleaved rounds each, batch {shape}.")
    latency = measure_latency(
        {name: entry.session for name, entry in opened.items()},
        shape=shape,
        rounds=request.rounds,
        warmup=request.warmup,
        cpu_clock=cpu_clock_of(request.provider),
    )
    memory = {
        name: measure_memory(path, shape=shape, provider=request.provider, threads=request.threads)
        for name, path in models.items()
    }
    report = _report(opened, latency, memory)
    write_json(out, report.to_json())
    return report


def _open(path: Path, request: MeasureRequest) -> _Opened:
    file = read_model_file(path)
    test = verify(file, provider=request.provider, threads=request.threads)
    if not test.ok and test.max_logit_difference is None:  # nothing of it ran, or ever should
        raise GateError(f"{path} is broken here: {'; '.join(test.reasons)}.", cure="Copy or export it again.")
    session = open_session(file, provider=request.provider, threads=request.threads, spinning="per-run")
    return _Opened(session, read_card(session.metadata, path), test)


def _shape(opened: Mapping[str, _Opened], batch: int) -> tuple[int, int, int, int]:
    shapes = {name: (batch, entry.card.channels, *entry.card.preprocessing.size) for name, entry in opened.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape[2]} x {shape[3]}" for name, shape in shapes.items())
        raise ConfigError(f"The files take images of different sizes: {told}.", cure="Measure them one by one.")
    return next(iter(shapes.values()))


def _refuse_foreign(out: Path) -> None:
    """Nothing is replaced but an earlier benchmark of files."""
    if not os.path.lexists(out):
        return check_writable(out)
    try:
        value = read_json(out)
    except InputError:
        value = None
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise ConfigError(f"{out} exists and is no benchmark of files.", cure="Move it, or choose --out.")


def _report(opened: Mapping[str, _Opened], latency: LatencySamples, memory: Mapping[str, MemoryReport]) -> MachineBench:
    first = next(iter(opened.values())).session
    said = [f"{name}: {text}" for name, found in memory.items() for text in found.warnings]
    said += [f"{name} is broken here: {'; '.join(e.test.reasons)}" for name, e in opened.items() if not e.test.ok]
    return MachineBench(
        schema=SCHEMA,
        kind=KIND,
        shape=latency.shape,
        provider=first.provider_proven,
        threads=first.details["threads"],
        models=tuple(FileBench(**_row(name, entry, latency, memory[name])) for name, entry in opened.items()),
        control_s=latency.control,
        control_cpu_s=latency.cpu_control,
        control_ratio=latency.control_ratio,
        by_cpu=latency.by_cpu,
        load=latency.load,
        environment=current_environment(),
        versions=versions(),
        warnings=(*latency.warnings, *dict.fromkeys(said)),
    )


def _row(name: str, entry: _Opened, latency: LatencySamples, memory: MemoryReport) -> dict[str, Any]:
    file, test, cpu = entry.session.file, entry.test, latency.cpu.get(name, ())
    return {
        "name": name,
        "sha256": file.sha256,
        "graph_sha256": file.graph_sha256,
        "quantized": str((entry.card.quantization or {}).get("kind", "")),
        "phantom": entry.card.phantom,
        "self_test": test.verdict,
        "differing_voxels": test.differing_voxels,
        "voxels": test.voxels,
        "max_logit_difference": test.max_logit_difference,
        "nodes": count_nodes(entry.session.placement),
        "file_bytes": file.size,
        "peak_memory_bytes": memory.peak_bytes,
        "imports_memory_bytes": memory.imports_bytes,
        "median_s": median(latency.samples[name]),
        "cpu_median_s": median(cpu) if cpu else None,
        "speedup": latency.speedup(name),
        "latency_s": latency.samples[name],
        "cpu_s": cpu,
    }
