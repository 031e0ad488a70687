"""One folder, one process. The lock belongs to the operating system: it ends with the process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from compress.errors import ConfigError
from compress.files import writing
from compress.progress import SILENT, Progress

try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

_OPEN_FILE = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LOCK_FILE = ".lock"
"""Where a folder itself cannot be locked (Windows, NFS) this file in it is; it may lie there without being locked."""


@contextmanager
def locked(folder: Path, *, wait: bool = False, progress: Progress = SILENT) -> Iterator[None]:
    """Hold the folder, made when it is not there, for this process alone.

    wait: until another process that holds it ends; else such a one raises `ConfigError`. A file system without locks
    is said as a warning, and the folder is then not held. Folders that were made and stayed empty go again. Raises
    `InputError` or `EnvironmentFault` when the folder cannot be made.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with ExitStack() as undo:
        for path in reversed(made):
            undo.callback(_remove_empty, path)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        _hold(folder, undo, wait, progress)
        yield


def _hold(folder: Path, undo: ExitStack, wait: bool, progress: Progress) -> None:
    why = ""
    for path in (folder, folder / LOCK_FILE):
        try:
            handle = os.open(path, os.O_RDONLY if path == folder else _OPEN_FILE, 0o666)
        except OSError as fault:  # Windows opens no folders
            why = fault.strerror or str(fault)
            continue
        undo.callback(os.close, handle)
        try:
            return _lock(handle, wait)
        except (BlockingIOError, PermissionError):
            raise ConfigError(
                f"Another process is writing to {folder}.", cure="Wait until it ends, or name another folder."
            ) from None
        except OSError as fault:  # NFS locks files, no folders; some file systems lock nothing
            why = fault.strerror or str(fault)
    progress.warn(f"{folder} lies on a file system without locks ({why}): let no second process write there.")


def _lock(handle: int, wait: bool) -> None:
    """Raise `BlockingIOError` (Windows: `PermissionError`) for a file that is locked, other `OSError`s for no locks."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # pyright: ignore
    else:
        raise OSError("this Python knows none")


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        (folder / LOCK_FILE).unlink(missing_ok=True) if _only_lock(folder) else None
        folder.rmdir()


def _only_lock(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == [LOCK_FILE]
