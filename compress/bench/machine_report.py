"""What a machine that only runs models measured of some files: the record that it sends back.

Needs nothing but the `[runtime]` extra; `compress.steps.benching.elsewhere` reads it again, with suspicion.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from compress.bench.environment import Environment
from compress.evaluate.interval import Interval

SCHEMA = 1
"""Raised whenever a field changes its meaning."""
KIND = "cardiocompress benchmark of files"


@dataclass(frozen=True)
class FileBench:
    """One file on this machine. Seconds, bytes and counts."""

    name: str
    sha256: str
    graph_sha256: str
    quantized: str
    """"int8", "fp16" or ""."""
    phantom: bool
    """Whether the network was trained on generated images."""
    self_test: str
    """"bit-equal", "within tolerance", "another rounding of whole numbers" or "broken"."""
    differing_voxels: int
    voxels: int
    """Of the self-test's image."""
    max_logit_difference: float | None
    nodes: str
    """Which provider computed how many nodes."""
    file_bytes: int
    peak_memory_bytes: int | None
    imports_memory_bytes: int | None
    median_s: float
    cpu_median_s: float | None
    """Processor time of all threads; None on a GPU."""
    speedup: Interval
    """Baseline time over this file's time, paired by round."""
    latency_s: tuple[float, ...]
    """Raw samples per batch, in order of rounds."""
    cpu_s: tuple[float, ...]


@dataclass(frozen=True)
class MachineBench:
    """One benchmark of files, the baseline first."""

    schema: int
    kind: str
    shape: tuple[int, int, int, int]
    """(N, C, H, W) of the timed batch, normal noise."""
    provider: str
    """The one that was proven to compute every node."""
    threads: int
    models: tuple[FileBench, ...]
    control_s: tuple[float, ...]
    """The baseline's second series."""
    control_cpu_s: tuple[float, ...]
    control_ratio: Interval
    """The baseline over itself: what this machine calls no difference."""
    by_cpu: bool
    """Whether ratios are those of processor times, because the wall's were unsteady."""
    load: float | None
    """The machine's load before timing."""
    environment: Environment
    versions: dict[str, str]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)
