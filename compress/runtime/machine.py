"""What this process may use of the machine it runs on: cores, CPU name, vector instructions."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

_ROOT = Path("/")
FAST_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp", "i8mm")
"""Instructions that decide how fast float32, bfloat16 and INT8 are, as Linux names them; the last two are ARM's."""


def available_cores(root: Path = _ROOT) -> int:
    """Whole cores that this process may use: the smaller of its affinity and its cgroup quota, at least 1.

    A container's host count would start more threads than the quota can run, and they would wait
    for each other. `root` is where /proc and /sys are looked for (tests pass a folder).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_quota(root)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def cpu_model(root: Path = _ROOT) -> str:
    """The processor's name for reports, such as "AMD EPYC 9V74", or the architecture when it is not told."""
    return _cpuinfo("model name", root) or platform.processor() or platform.machine() or "unknown"


def cpu_flags(root: Path = _ROOT) -> frozenset[str] | None:
    """Instruction set flags of the first processor as Linux names them (avx2, avx512f), None elsewhere."""
    text = _cpuinfo("flags", root) or _cpuinfo("Features", root)
    return frozenset(text.split()) if text else None


def fast_features() -> tuple[str, ...] | None:
    """Those of `FAST_FEATURES` that the processor has; None where it does not tell."""
    flags = cpu_flags()
    return None if flags is None else tuple(name for name in FAST_FEATURES if name in flags)


def saturates_int8() -> bool:
    """Whether products of uint8 and full int8 saturate here: x86-64 without VNNI adds pairs of them in 16 bits."""
    flags = cpu_flags()
    return flags is not None and "sse2" in flags and not flags & {"avx512_vnni", "avx_vnni"}


def _cpuinfo(key: str, root: Path) -> str:
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _cgroup_quota(root: Path) -> float | None:
    """Cores that the tightest enclosing control group allows; None without a limit."""
    quotas = []
    for folder in _cgroup_folders(root):
        version2 = _read(folder / "cpu.max").split()
        version1 = [_read(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        for quota, period in (version2, version1) if len(version2) == 2 else (version1,):
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cgroup_folders(root: Path) -> list[Path]:
    """This process's control group and all above it, version 2 and version 1 mounts alike."""
    folders = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [controllers, "cpu"] if controllers else ["", "unified"]
        for mount in mounts:
            base = root / "sys/fs/cgroup" / mount
            own = base / group.strip("/")
            folders += [own, *(p for p in own.parents if p.is_relative_to(base))]
    return folders


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
