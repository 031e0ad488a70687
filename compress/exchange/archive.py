"""A stranger's folder or zip archive, read file by file: nothing is unpacked, and nothing outside of it is opened."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from compress.errors import CheckpointError, InputError
from compress.files import MAX_DOCUMENT, parse_json
from compress.outside import leads_out, opened, read_bytes

MAX_WEIGHTS = 2**32
"""Bytes of a checkpoint; nnU-Net's largest, with its optimiser, has a fifth of it."""
_RATIO = 200
"""Weights hardly pack; what inflates to more than this many times its size is a bomb. JSON reaches about 30."""
_HARMLESS = 2**20
"""Bytes that may inflate from anything."""
_DIRECTORY = 2**22
"""Bytes of an archive's table of contents, which is read whole: some 40,000 files."""
_TAIL = 2**16 + 2**10
"""An archive ends with its end record and a comment of at most 2^16 bytes."""
_BYTES_OF_ANY_LENGTH = b"bytearray"
"""What a checkpoint could ask for any amount of memory with, in a few bytes; torch allows it and never writes it."""
_MOST_FILES = 20_000
"""A results folder has some hundred, with the validation masks of all folds some thousand."""


@dataclass(frozen=True)
class Source:
    """Its files by their paths within it, such as "fold_0/checkpoint_final.pth"."""

    path: Path
    names: tuple[str, ...]
    archive: zipfile.ZipFile | None = None

    def read(self, name: str, *, limit: int) -> bytes:
        """One file's bytes. Raises `InputError` when it is missing, larger than `limit` or leads out of the folder."""
        if name not in self.names:
            raise InputError(f"{self.path} has no {name}.")
        try:
            if self.archive is None:
                return read_bytes(self._inside(name), most=limit, named=True)
            _refuse_bomb(self.archive.getinfo(name), self.path, limit)
            with self.archive.open(name) as stream:
                content = stream.read(limit + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as fault:
            raise InputError(f"{name} in {self.path} cannot be read: {fault}.") from None
        if len(content) > limit:
            raise InputError(f"{name} in {self.path} is larger than {limit} bytes.")
        return content

    def json(self, name: str) -> dict[str, Any]:
        """One JSON object; raises `InputError` as `read` does and for anything else."""
        try:
            found = parse_json(self.read(name, limit=MAX_DOCUMENT).decode())
        except (UnicodeDecodeError, ValueError, RecursionError) as fault:
            raise InputError(f"{name} in {self.path} is not JSON: {fault}.") from None
        if not isinstance(found, dict):
            raise InputError(f"{name} in {self.path} holds no JSON object.")
        return found

    def _inside(self, name: str) -> Path:
        if leads_out(file := self.path / name, self.path):
            raise ValueError("it is a link that leads out of the folder")
        return file


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """A folder or a zip archive. Raises `InputError` for anything else, and for an archive that leaves its folder."""
    if path.is_dir():
        yield Source(path, tuple(_files_in(path)))
        return
    if not path.is_file():
        raise InputError(f"There is nothing at {path}.", cure="Give a results folder of nnU-Net, or its zip.")
    with opened(path, most=None, named=True) as stream:
        if directory_size(stream) > _DIRECTORY:
            raise InputError(f"{path} lists more files than any results folder has.", cure="Do not use it.")
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as fault:
            raise InputError(
                f"{path} is neither a folder nor a zip archive: {fault}.",
                cure="Give a results folder of nnU-Net, or what nnUNetv2_export_model_to_zip wrote.",
            ) from None
        with archive:
            yield Source(path, tuple(_files_of(archive, path)), archive)


def directory_size(stream: BinaryIO) -> int:
    """Bytes of a zip archive's table of contents, as its end says; 0 where no end is found."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    end = tail.rfind(b"PK\5\6")
    before = tail[: max(0, end)]
    if before[-20:-16] != b"PK\6\7":
        return int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    records = [found.start() for found in re.finditer(rb"PK\x06\x06", before)]  # of a large archive
    return max((int.from_bytes(before[at + 40 : at + 48], "little") for at in records), default=size)


def refuse_inflating(content: bytes, name: str) -> None:
    """Raise `CheckpointError` for a file of torch's that would take more memory than its own size.

    torch writes zip archives that hold tensors as they are, and older versions plain pickles.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return _refuse_any_length(content, name)
    if directory_size(io.BytesIO(content)) > _DIRECTORY:
        raise CheckpointError(f"{name} lists more tensors than any network has.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            size = sum(entry.file_size for entry in inner.infolist())
            if size <= len(content) + _HARMLESS:
                for entry in inner.infolist():
                    if entry.filename.endswith(".pkl"):
                        _refuse_any_length(inner.read(entry), name)
    except (zipfile.BadZipFile, ValueError) as fault:
        raise CheckpointError(f"{name} is damaged: {fault}.") from None
    if size > len(content) + _HARMLESS:
        raise CheckpointError(f"{name} would inflate from {len(content)} to {size} bytes; torch writes no such file.")


def _refuse_any_length(pickled: bytes, name: str) -> None:
    if _BYTES_OF_ANY_LENGTH in pickled:
        raise CheckpointError(f"{name} asks for memory by the name of bytearray; torch writes no such file.")


_DEPTH = 4
"""A dataset's folder, a model's, a fold's and the file."""


def _files_in(folder: Path) -> list[str]:
    """Those of a flat place first; links to folders are not followed, hidden folders left out."""
    found: list[PurePosixPath] = []
    for place, folders, names in os.walk(folder):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        folders[:] = [n for n in folders if not n.startswith(".") and len(here.parts) < _DEPTH - 1]
        found += [here / name for name in names]
        if len(found) > _MOST_FILES:
            raise InputError(f"{folder} holds more than {_MOST_FILES} files.", cure="Give the folder of one model.")
    return [str(each) for each in sorted(found, key=lambda each: (len(each.parts), each.parts))]


def _files_of(archive: zipfile.ZipFile, path: Path) -> list[str]:
    for entry in archive.infolist():
        _refuse_escape(entry, path)
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if len(names) > _MOST_FILES or len(set(names)) < len(names):
        what = f"more than {_MOST_FILES} files" if len(names) > _MOST_FILES else "a file twice"
        raise InputError(f"{path} holds {what}.", cure="Do not use it.")
    return names


def _refuse_escape(entry: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0] or link:
        what = "is a link" if link else "leads out of the archive's folder"
        raise InputError(f"{path}: its entry {entry.filename[:80]!r} {what}.", cure="Do not use it.")


def _refuse_bomb(entry: zipfile.ZipInfo, path: Path, limit: int) -> None:
    if entry.file_size > limit or entry.file_size > max(_HARMLESS, _RATIO * entry.compress_size):
        raise InputError(
            f"{path}: its entry {entry.filename[:80]!r} would inflate from {entry.compress_size} to "
            f"{entry.file_size} bytes.",
            cure="Do not use it.",
        )
