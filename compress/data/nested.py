"""`--recursive`: data sets and images anywhere below a folder, each patient called by the folders that lead to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

MAX_DEPTH = 12
"""Folders in folders that are looked into."""


def places(folder: Path, holds: Callable[[Path], bool], goes_on: Callable[[Path], bool]) -> Iterator[Path]:
    """Every folder from `folder` down for which `holds` is true, in their names' order; links and hidden ones left out.

    Below such a folder only where `goes_on` is true of it.
    """
    yield from _below(folder, holds, goes_on, MAX_DEPTH)


def _below(folder: Path, holds: Callable[[Path], bool], goes_on: Callable[[Path], bool], depth: int) -> Iterator[Path]:
    found = holds(folder)
    if found:
        yield folder
    if depth == 0 or (found and not goes_on(folder)):
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
            yield from _below(child, holds, goes_on, depth - 1)


def prefix(place: Path, folder: Path, count: int) -> str:
    """What stands before a patient's name: the folders from `folder` to `place`; nothing where there is one place."""
    parts = place.relative_to(folder).parts if count > 1 else ()
    return "".join(f"{part}_" for part in parts)
