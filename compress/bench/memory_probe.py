"""The child process of `compress.bench.memory`: run one model and write the memory figures as JSON.

    python -m compress.bench.memory_probe MODEL PROVIDER "[N, C, H, W]" RUNS THREADS

A file of its own, so that nothing but the runtime is imported. Standard output is the answer.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench.gpu_memory import MemoryUnknown, process_bytes
from compress.errors import CardioCompressError, EnvironmentFault
from compress.runtime.providers import find_provider
from compress.runtime.session import open_session


def status_bytes(key: str) -> int | None:
    """A figure of /proc/self/status in bytes; None where there is none.

    VmHWM and not `getrusage`: its ru_maxrss starts at the parent's peak.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else None


def probe(path: str, provider: str, shape: list[int], runs: int, threads: int | None) -> dict[str, Any]:
    """Open and run the model; the figures, or the error for the parent to raise."""
    before = status_bytes("VmRSS")
    try:
        session = open_session(Path(path), provider=provider, threads=threads)
        images = np.zeros(shape, np.float32)
        for _ in range(runs):
            session.run(images)
        if "torch" in sys.modules:
            raise EnvironmentFault("Torch was loaded into the process whose memory is measured.")
    except CardioCompressError as fault:
        return {"error": type(fault).__name__, "message": fault.message, "cure": fault.cure}
    found = {"peak_bytes": status_bytes("VmHWM"), "imports_bytes": before, "gpu_bytes": None, "gpu_unknown": ""}
    if find_provider(provider).memory:
        try:
            found["gpu_bytes"] = process_bytes(os.getpid())
        except MemoryUnknown as why:
            found["gpu_unknown"] = str(why)
    return found


if __name__ == "__main__":
    model, name, *figures = sys.argv[1:]
    sys.stdout.write(json.dumps(probe(model, name, *map(json.loads, figures))))
