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
    """A file or folder below the folder that names it, and what it is; reading it gives the path.

    `holds` says of a folder which table names its files.
    """

    def __init__(self, below: str, what: str = "", *, holds: type[Folder] | None = None) -> None:
        self.below = below
        self.what = what
        self.holds = holds

    def __get__(self, folder: Folder, owner: type[Folder]) -> Path:
        return folder.root / self.below
