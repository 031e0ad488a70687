"""What a gate's folder bears out, once it was judged again."""

from __future__ import annotations

from dataclasses import dataclass, field

from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict


@dataclass(frozen=True)
class Judged:
    """What a gate's folder bears out."""

    verdict: Verdict | None = None
    candidate: EvaluationReport | None = None
    rules: tuple[str, ...] = ()
    """Where it was judged by other settings than the default ones."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Name -> content."""
