"""Writing files whole or not at all, JSON, and content digests."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from compress.errors import EnvironmentFault, InputError
from compress.outside import MAX_DOCUMENT, is_there, opened, read_bytes

_UMASK = os.umask(0o077)
os.umask(_UMASK)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the file system says while `target` is written into typed errors.

    Raises `EnvironmentFault` when the folder cannot be written (read-only, disk full) and `InputError`
    when the path leads through a file.
    """
    try:
        yield
    except (NotADirectoryError, FileExistsError) as fault:
        raise InputError(f"Cannot write {target}: a part of that path is a file, not a folder.") from fault
    except OSError as fault:
        raise EnvironmentFault(
            f"Cannot write {target}: {fault.strerror or fault}.", cure="Check the folder's permissions and free space."
        ) from fault


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it into place only when the block succeeds.

    Raises as `writing` does.
    """
    temporary = None
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=_MARK + target.suffix, dir=target.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            _flush(temporary)
            temporary.chmod(0o666 & ~_UMASK)  # mkstemp's 0600 would lock out those whom the user lets in
            temporary.replace(target)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


_MARK = ".partial"
_PARTIAL = re.compile(rf"\.(?P<stem>.+)\.[a-z0-9_]{{8}}\{_MARK}(?P<suffix>(\.[^.]+)?)")


def _flush(path: Path) -> None:
    """Bytes before name: after a power cut a renamed file would otherwise be empty."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def remove_partials(targets: Iterable[Path]) -> None:
    """Delete what `atomic_path` left beside these targets when its process was killed."""
    wanted: dict[Path, set[str]] = {}
    for target in targets:
        wanted.setdefault(target.parent, set()).add(target.name)
    for folder, names in wanted.items():
        for path in folder.iterdir() if folder.is_dir() else ():
            found = _PARTIAL.fullmatch(path.name)
            if found and found["stem"] + found["suffix"] in names:
                _remove(path)


def remove_all_partials(folder: Path) -> None:
    """The same for every file below a folder that this process alone writes to."""
    for path in folder.rglob(f".*{_MARK}*"):
        if _PARTIAL.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # a folder that cannot be written says so when a result is
        path.unlink()


def write_text(target: Path, text: str) -> Path:
    """Write `text` to `target` atomically and return `target`."""
    with atomic_path(Path(target)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(target)


def write_json(target: Path, value: Any) -> Path:
    """Write `value` as indented JSON (keys in the given order, NaN refused) atomically."""
    return write_text(target, json_text(value).decode())


def json_text(value: Any) -> bytes:
    """The bytes that `write_json` writes."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def check_writable(target: Path) -> None:
    """Raise as `atomic_path` does, before minutes of work rather than after them; leaves nothing."""
    with suppress(_OnlyTrying), atomic_path(target):
        raise _OnlyTrying


class _OnlyTrying(Exception):
    """Lets `atomic_path` take back what it began."""


def read_json(source: Path, *, named: bool = False) -> Any:
    """Parse a JSON file by `parse_json`; `named` as for `compress.outside.opened`.

    Raises `InputError`, which names the file, when it is missing or damaged, no regular file, or larger than
    `MAX_DOCUMENT`.
    """
    if not is_there(path := Path(source)):
        raise InputError(f"No such file: {source}.")
    content = read_bytes(path, most=MAX_DOCUMENT, named=named)
    try:
        return parse_json(content.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise InputError(f"{source} is not readable JSON: {fault}.") from fault


MAX_DEPTH = 100
"""Objects and lists inside each other; documents of this program have a tenth of it."""

_MAX_DIGITS = 40


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text says; `ValueError` or `RecursionError` where readers would differ about it.

    That is a key that stands twice in one object, a number that is none, too large for a float or of more than 40
    digits, and more than `MAX_DEPTH` levels.
    """
    found = json.loads(
        text,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_whole,
        object_pairs_hook=_refuse_doubles,
    )
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        below = [each for each in level if isinstance(each, dict | list)]
        level = [v for each in below for v in (each.values() if isinstance(each, dict) else each)]
        depth += 1
        if depth > MAX_DEPTH and below:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text[:20]}... has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"'{twice[:40]}' stands there twice")
    return table


def digest_bytes(*parts: bytes | memoryview) -> str:
    """SHA-256 of the parts, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises `InputError` as `compress.outside.opened` does; a link is followed."""
    with opened(Path(path), most=None, named=True) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: equal values, equal digests."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode())
