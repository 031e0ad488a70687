"""What this user's processes have written, told from what others may have put into a shared cache.

A seal is an HMAC-SHA256 with a secret of the user's own, which lies in the user's state folder where nobody else can
read it. Where no secret can be kept, each process has its own: nothing cached is then believed, all is computed again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

_BYTES = 32


def seal(context: str, *arrays: np.ndarray) -> str:
    """The seal of arrays, with what they are, such as the name of their file: a seal of one is none of another."""
    told = hmac.new(_secret(_place()), context.encode("utf-8", "surrogatepass"), hashlib.sha256)
    for array in arrays:
        told.update(f"|{array.dtype.str}{array.shape}|".encode())
        told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()


def holds(told: object, context: str, *arrays: np.ndarray) -> bool:
    """Whether `told` is the seal of these arrays."""
    return hmac.compare_digest(str(told).encode("utf-8", "replace"), seal(context, *arrays).encode())


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
