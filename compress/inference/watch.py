"""What a service tells of its work while it runs: figures for Prometheus, and a log in JSON lines.

Neither says what a file, a folder or a patient is called: an image is told by its digest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compress import __version__
from compress.files import check_writable, write_text
from compress.inference.jobs import Job
from compress.inference.study_table import concerns_of, flags_of
from compress.inference.work import Outcome

_PREFIX = "cardiocompress_predict"
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)
"""Upper ends of the classes of durations."""


class MetricsFile:
    """A file in Prometheus's text form, written anew after every study, for a node exporter's textfile collector."""

    def __init__(self, path: Path) -> None:
        """Raises `ModuleNotFoundError` without prometheus_client, and as `check_writable` does."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        check_writable(path)
        self.path, self.registry = path, CollectorRegistry()
        mine: dict[str, Any] = {"namespace": _PREFIX, "registry": self.registry}
        self.studies = Counter("studies", "Studies by what came of them.", ["outcome"], **mine)
        self.flagged = Counter("flagged_studies", "Studies with plausibility flags or overruled doubts.", **mine)
        self.seconds = Histogram("study_seconds", "Time from images to report.", buckets=_SECONDS, **mine)
        self.last = Gauge("last_study_time_seconds", "When the last study was finished, in Unix time.", **mine)
        for outcome in ("segmented", "refused", "kept"):
            self.studies.labels(outcome)
        Gauge("info", "The program.", ["version"], **mine).labels(__version__).set(1)

    def study(self, job: Job, outcome: Outcome) -> None:
        """Count one study."""
        self.studies.labels("segmented" if outcome.document else "refused").inc()
        self.flagged.inc(bool(_doubts(outcome)))
        self.seconds.observe(outcome.seconds)
        self.last.set(time.time())
        self._write()

    def end(self, *, kept: int, refused: int) -> None:
        """Count those of an earlier run, and those that were refused before any work."""
        self.studies.labels("kept").inc(kept)
        self.studies.labels("refused").inc(refused)
        self._write()

    def _write(self) -> None:
        from prometheus_client import generate_latest

        write_text(self.path, generate_latest(self.registry).decode())


class JsonLog:
    """One line per study and one at the end, handed to `write`."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write, self.count = write, 0

    def study(self, job: Job, outcome: Outcome) -> None:
        """Tell one study: its number in the order of finishing, and its images by their digests."""
        self.count += 1
        told = {"outcome": "segmented" if outcome.document else "refused", "seconds": round(outcome.seconds, 3)}
        self.line("study", number=self.count, **told, images=_digests(job, outcome), doubts=_doubts(outcome))

    def end(self, *, kept: int, refused: int) -> None:
        """Tell how many were there from an earlier run, and refused before any work."""
        self.line("end", studies=self.count, kept=kept, refused_unread=refused)

    def line(self, event: str, **values: Any) -> None:
        """One line."""
        self.write(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}))


def _doubts(outcome: Outcome) -> int:
    return len(flags_of(outcome.document)) + len(concerns_of(outcome.document)) if outcome.document else 0


def _digests(job: Job, outcome: Outcome) -> list[str]:
    if outcome.document:
        return [image["sha256"] for image in outcome.document["images"]]
    found = []
    for source in job.sources:
        with suppress(Exception):  # whatever it is that cannot be read
            found.append(source.image.digest())
    return found
