"""Memory that one process holds on NVIDIA GPUs, as the driver tells it: through NVML, else through nvidia-smi.

The figure is the process's own: CUDA's context, the weights, and ONNX Runtime's arena, which grows to the largest
need and is never given back. So what is read after the runs is the peak.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

COMMAND = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
_SECONDS = 20.0


class MemoryUnknown(Exception):
    """Why there is no figure, in a clause."""


def process_bytes(pid: int, *, command: Sequence[str] = COMMAND) -> int:
    """Bytes that process `pid` holds on all GPUs together. Raises `MemoryUnknown`."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return parse_smi(_ask(command), pid)
    return _add(_nvml_rows(nvml), pid)


def parse_smi(text: str, pid: int) -> int:
    """Bytes of process `pid` from nvidia-smi's lines "pid, MiB", one per GPU. Raises `MemoryUnknown`."""
    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        owner, _, used = (part.strip() for part in line.partition(","))
        if not owner.isdecimal():
            raise MemoryUnknown(f"nvidia-smi answered '{line[:60]}'")
        rows.append((int(owner), int(used) * 2**20 if used.isdecimal() else None))
    return _add(rows, pid)


def _add(rows: Iterable[tuple[int, int | None]], pid: int) -> int:
    """rows: (process, bytes, None where the driver does not tell)."""
    own = [used for owner, used in rows if owner == pid]
    if not own:
        raise MemoryUnknown("the driver lists no such process (in a container it may go by another number)")
    told = [used for used in own if used is not None]
    if len(told) < len(own):
        raise MemoryUnknown("the driver does not tell memory by process")
    return sum(told)


def _ask(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise MemoryUnknown(f"neither the package nvidia-ml-py nor {command[0]} is installed") from None
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise MemoryUnknown(f"{command[0]} failed ({type(fault).__name__})") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise MemoryUnknown(f"{command[0]} ended with {done.returncode} ({said[0][:80]})")
    return done.stdout


def _nvml_rows(nvml: Any) -> list[tuple[int, int | None]]:
    """Every compute process of every GPU. Raises `MemoryUnknown`."""
    try:
        nvml.nvmlInit()
        try:
            handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
            found = [row for handle in handles for row in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as fault:
        raise MemoryUnknown(f"NVML failed ({fault})") from None
    return [(row.pid, row.usedGpuMemory) for row in found]
