"""A folder that names its files: what every table of this package is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """A folder. Its class names the files in it with `At`."""

    root: Path

    def named(self) -> list[Path]:
        """Every path that the class names, in its order, whether it is there or not."""
        return [getattr(self, name) for name, value in vars(type(self)).items() if isinstance(value, At)]


class At:
    """A file or folder below the folder that names it; reading it gives the path."""

    def __init__(self, below: str) -> None:
        self.below = below

    def __get__(self, folder: Folder, owner: type[Folder]) -> Path:
        return folder.root / self.below
