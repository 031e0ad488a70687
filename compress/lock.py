"""One folder, one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compress.errors import ConfigError
from compress.files import writing

try:
    import fcntl
except ImportError:  # Windows: two processes on one folder are not told apart there
    fcntl = None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the output folder, made when it is not there, for this process alone.

    Raises `ConfigError` when another process holds it, and `InputError` or `EnvironmentFault` when it cannot be
    made. A folder that was made and stayed empty goes again.
    """
    made = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if fcntl and handle is not None:
            _lock(handle, folder)
        yield
    finally:
        if handle is not None:
            os.close(handle)
        if made:
            with suppress(OSError):
                folder.rmdir()


def _lock(handle: int, folder: Path) -> None:
    assert fcntl is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"Another process is writing to {folder}.", cure="Wait until it ends, or name another folder."
        ) from None
    except OSError:  # some network file systems know no locks
        return
