"""The peak memory of a part of this process, where the machine tells it (Linux)."""

from __future__ import annotations

from pathlib import Path

from compress.bench.memory_probe import status_bytes
from compress.text import mib


class PeakMemory:
    """Begins when it is made: the process's high-water mark is set back to what it holds now."""

    def __init__(self) -> None:
        self._before = status_bytes("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            self._before = None

    @property
    def bytes(self) -> tuple[int, int] | None:
        """The peak since then, and how far above what was held before; None where the machine does not tell."""
        peak = status_bytes("VmHWM")
        return None if peak is None or self._before is None else (peak, max(0, peak - self._before))

    def words(self) -> str:
        """ ", peak memory 310 MiB (61 above before)", or nothing."""
        found = self.bytes
        return f", peak memory {mib(found[0], '.0f')} MiB ({mib(found[1], '.0f')} above before)" if found else ""
