"""What this user's processes have written, told from what others may have put into a shared cache.

A seal is an HMAC-SHA256 of the file's bytes with a secret of the user's own, which lies in the user's state folder
where nobody else can read it. Where no secret can be kept, each process has its own: nothing cached is then believed,
all is computed again.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from compress.errors import InputError
from compress.outside import read_bytes

_BYTES = 32
_SEAL = hashlib.sha256().digest_size
MAX_SEALED = 2**34
"""Bytes of a file; a teacher's answers about thousands of slices have a tenth."""


def write_sealed(path: Path, context: str, *, pack: bool = True, **arrays: np.ndarray) -> None:
    """Write arrays as .npz with the seal behind them, into a file that `compress.files.atomic_path` gave.

    context: what they are, such as the name of their file: a seal of one is none of another.
    pack: whether to compress them.
    """
    packed = io.BytesIO()
    (np.savez_compressed if pack else np.savez)(packed, **arrays)  # pyright: ignore[reportArgumentType]
    content = packed.getvalue()
    path.write_bytes(content + _seal(context, content))


def read_sealed(path: Path, context: str) -> dict[str, np.ndarray] | None:
    """The arrays that this user wrote there as `context`; None for whatever else lies there.

    Of what others wrote nothing is parsed or unpacked: the seal is of the file's bytes.
    """
    with suppress(InputError, OSError):
        content = read_bytes(path, most=MAX_SEALED)
        content, told = content[:-_SEAL], content[-_SEAL:]
        if hmac.compare_digest(told, _seal(context, content)):
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                return dict(stored)
    return None


def remember(*what: str) -> None:
    """Keep for this user's later processes that something was said; where nothing can be kept, they are asked again."""
    with suppress(OSError):
        place = _said(what)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.touch(mode=0o600)


def remembered(*what: str) -> bool:
    """Whether this user has said it."""
    return _said(what).is_file()


def _said(what: Sequence[str]) -> Path:
    """A name that nobody can make who has not the secret."""
    return _place().with_name("said") / _seal("said", json.dumps(what).encode()).hex()


def _seal(context: str, content: bytes) -> bytes:
    told = hmac.new(_secret(_place()), context.encode("utf-8", "surrogatepass") + b"\0", hashlib.sha256)
    told.update(content)
    return told.digest()


def _place() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 (never raises)
    return Path(state) / "cardiocompress" / "secret"


@cache
def _secret(place: Path) -> bytes:
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(_BYTES))
        handle = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as stream:
            found = os.fstat(stream.fileno())
            own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
            content = stream.read(_BYTES) if stat.S_ISREG(found.st_mode) and own else b""
        if len(content) == _BYTES:
            return content
    return secrets.token_bytes(_BYTES)
