"""Folders that the running command holds for itself, until it ends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from compress.progress import Progress

_open = ExitStack()
_held: set[Path] = set()


def hold(folder: Path, progress: Progress) -> None:
    """Lock a run folder, and clear away what a killed command left half-written in it.

    Raises `ConfigError` when another process holds it.
    """
    from compress.files import remove_all_partials
    from compress.lock import locked

    place = folder.resolve()
    if place not in _held:
        _open.enter_context(locked(folder, progress=progress))
        _held.add(place)
        remove_all_partials(folder)


def release() -> None:
    """Let go of all of them."""
    _held.clear()
    _open.close()
