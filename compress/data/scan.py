"""What a layout's reader hands back: the cases that it found, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from compress.data.volume import Case
from compress.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One fault in one file or folder, as data."""

    path: Path
    message: str


@dataclass
class Scan:
    """A folder's cases and faults. A reader adds to it patient by patient, so one bad patient hides no other."""

    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def fault(self, path: Path, error: DataError) -> None:
        """Remember a fault instead of raising it."""
        self.problems.append(Problem(path, str(error)))

    def sorted_cases(self) -> list[Case]:
        """The cases by patient, phase and file name."""
        return sorted(self.cases, key=lambda case: (case.patient, case.phase, case.image_path.name))
