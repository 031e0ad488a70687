"""Writing a bundle's files where nobody else can write, and listing exactly what was written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compress.bundle.files import paths_below
from compress.bundle.manifest import Entry
from compress.errors import ConfigError, InputError
from compress.files import digest_bytes

_EARLIER = ".earlier"


@dataclass
class Writing:
    """A folder that is being filled; what lies in it and was not written through here is refused."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    """By path below the folder."""

    def add(self, path: str, content: bytes) -> None:
        """Write one new file and list it."""
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        with target.open("xb") as stream:  # never through a link, never over a file
            stream.write(content)
        self.entries[path] = Entry(path, len(content), digest_bytes(content))

    def check_nothing_else(self, *, signature: str = "") -> None:
        """Raise `InputError` when anything but the listed files (and the signature) lies in the folder."""
        there, listed = set(paths_below(self.folder)), {*self.entries, *([signature] if signature else [])}
        if odd := sorted(there ^ listed):
            raise InputError(
                f"{self.folder} holds other files than those that were written ({odd[0]}).",
                cure="Name an --out in a folder that nobody else may write to.",
            )


@contextmanager
def private(out: Path) -> Iterator[Path]:
    """An empty folder called as `out` inside a new one beside it that only this user may enter; gone at the end.

    Nothing that this process has not made is removed or written to, whatever it is called.
    """
    made = [parent for parent in out.parents if not parent.exists()]
    with ExitStack() as undo:
        for parent in reversed(made):
            parent.mkdir(exist_ok=True)
            undo.callback(_remove_empty, parent)
        scrap = Path(tempfile.mkdtemp(prefix=f".{out.name}."[:100], dir=out.parent))
        undo.callback(_remove_own, scrap, os.lstat(scrap))
        (scrap / out.name).mkdir()
        yield scrap / out.name


def put_in_place(folder: Path, out: Path, *, restart: bool) -> None:
    """Give the finished folder its name; an earlier bundle goes only when this succeeds."""
    earlier = folder.with_name(_EARLIER)
    if os.path.lexists(out) and not restart:
        raise ConfigError(f"{out} is there already.", cure="Pass --restart to replace a bundle, or name another --out.")
    try:
        if out.is_dir():
            out.rename(earlier)
        folder.rename(out)
    except BaseException:
        if earlier.is_dir() and not out.is_dir():
            earlier.rename(out)
        raise


def _remove_own(scrap: Path, own: os.stat_result) -> None:
    """Remove the folder that was made, when its name still leads to it."""
    try:
        found = os.lstat(scrap)
    except OSError:
        return
    if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
        shutil.rmtree(scrap, ignore_errors=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # the bundle is in it
        return
