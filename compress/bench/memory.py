"""Peak memory of one model, in a fresh process that never loads torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress import errors
from compress.errors import EnvironmentFault

_PACKAGES_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class MemoryReport:
    """Bytes of resident memory of one process that did nothing but run one model."""

    peak_bytes: int | None
    """The process's high-water mark (Linux VmHWM): interpreter, libraries, model and work space together."""
    imports_bytes: int | None
    """Resident after the imports, before the model was opened: what `peak_bytes` holds of the libraries."""
    gpu_bytes: int | None
    """What the driver counts as this process's own on the GPU after the runs; None on the CPU and where not told."""
    warnings: tuple[str, ...] = ()


def measure_memory(
    path: Path,
    *,
    shape: tuple[int, int, int, int],
    provider: str = "cpu",
    runs: int = 3,
    threads: int | None = None,
    timeout: float = 600.0,
) -> MemoryReport:
    """Open `path` in a fresh process, run it `runs` times on a batch (N, C, H, W) and read its peak.

    A figure that the machine does not tell is None and a warning says so. Raises what opening and running raise in
    the child, and `EnvironmentFault` when the child dies or takes longer than `timeout` seconds.
    """
    answer = _ask_child([str(path), provider, json.dumps(list(shape)), str(runs), json.dumps(threads)], timeout)
    if "error" in answer:
        kind = getattr(errors, answer["error"], EnvironmentFault)
        raise kind(answer["message"], cure=answer["cure"])
    warnings = []
    if answer["peak_bytes"] is None:
        warnings.append("Peak memory was not measured: it is read from Linux's /proc.")
    if answer["gpu_unknown"]:
        warnings.append(f"GPU memory was not measured: {answer['gpu_unknown']}.")
    return MemoryReport(answer["peak_bytes"], answer["imports_bytes"], answer["gpu_bytes"], tuple(warnings))


def _ask_child(arguments: list[str], timeout: float) -> dict[str, Any]:
    # An empty part of PYTHONPATH would be the current folder.
    paths = [str(_PACKAGES_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": os.pathsep.join(paths)}
    # -P: a json.py in the folder where the user types must not be taken for the standard library's.
    command = [sys.executable, "-P", "-m", "compress.bench.memory_probe", *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"Measuring the memory of {arguments[0]} took over {timeout:g} s.") from None
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFault(
            f"Measuring the memory of {arguments[0]} failed: the child process ended with {done.returncode} ({last}).",
            cure="If it was killed (-9), memory ran out: use a smaller batch.",
        ) from None
