"""The one way to open what comes from outside: a regular file, of at most so many bytes, read once.

Whatever is checked, hashed or used is what was read here: a path may lead to something else a moment later. Pipes and
devices are never opened, as that alone may block. A link is followed only where the user named it: a stranger's folder
could otherwise lead a copy, a page or a bundle to any file of the reader's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from compress.errors import EnvironmentFault, InputError

MAX_DOCUMENT = 2**26
"""Bytes of a document; the largest that this program writes has a hundredth of it."""

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(
    path: Path, *, most: int | None, what: str = "", named: bool = False, fault: type[InputError] = InputError
) -> Iterator[FileIO]:
    """The file's bytes as an unbuffered stream.

    most: bytes that it may have; None where what is read is bounded otherwise.
    what: how the message calls it, such as "the key"; nothing: the path alone.
    named: whether the user named the path, and so a link is meant.

    Raises `fault`, in one line, for whatever is no regular file of that size, and for a link that nobody named;
    `EnvironmentFault` where this process may open no more files.
    """
    handle = _open(Path(path), most, f"{what} {path}".lstrip(), named, fault)
    with os.fdopen(handle, "rb", buffering=0) as stream:
        yield stream


def read_bytes(
    path: Path, *, most: int, what: str = "", named: bool = False, fault: type[InputError] = InputError
) -> bytes:
    """The whole file, never more than `most` bytes; raises as `opened` does."""
    with opened(path, most=most, what=what, named=named, fault=fault) as stream:
        try:
            content = stream.read(os.fstat(stream.fileno()).st_size + 1)
            while (more := stream.read(2**16)) and len(content) <= most:  # it grew, or is one of the kernel's
                content += more
        except OSError as error:
            raise fault(f"Cannot read {what or path}: {error.strerror}.", cure="Check the path.") from None
    if len(content) > most:
        raise _not_regular(f"{what} {path}".lstrip(), most, fault)
    return content


def read_text(
    path: Path, *, most: int, what: str = "", named: bool = False, fault: type[InputError] = InputError
) -> str:
    """The same as UTF-8, without the byte-order mark that some editors write."""
    content = read_bytes(path, most=most, what=what, named=named, fault=fault)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fault(f"{path} cannot be read: it is no UTF-8 text ({error}).", cure="Save it as UTF-8.") from None


def check_regular(path: Path, *, most: int | None, what: str = "", named: bool = False) -> None:
    """Raise `InputError` as `opened` does; for what another library opens itself."""
    with opened(path, most=most, what=what, named=named):
        pass


def is_there(path: Path) -> bool:
    """Whether something has this name, a link to nowhere included; a name that none can have is not there."""
    with suppress(OSError, ValueError):
        return os.path.lexists(path)
    return False


def leads_out(path: Path, folder: Path) -> bool:
    """Whether links lead a path below `folder` to a place outside of it."""
    real = os.path.realpath(folder)
    return os.path.commonpath([real, os.path.realpath(path)]) != real


def _open(path: Path, most: int | None, name: str, named: bool, fault: type[InputError]) -> int:
    try:
        found = path.stat() if named else path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise fault(f"{_capital(name)} is a link; nobody named it.", cure="Put the file itself there.")
        _check(found, most, name, fault)
        handle = os.open(path, _FLAGS | (0 if named else getattr(os, "O_NOFOLLOW", 0)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise EnvironmentFault(f"Cannot read {name}: {reason}.", cure="Raise the limit (ulimit -n).") from None
        raise fault(f"Cannot read {name}: {reason}.", cure="Check the path.") from None
    try:
        _check(os.fstat(handle), most, name, fault)  # of what was opened: the path may lead elsewhere by now
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check(found: os.stat_result, most: int | None, name: str, fault: type[InputError]) -> None:
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        raise _not_regular(name, most, fault)


def _not_regular(name: str, most: int | None, fault: type[InputError]) -> InputError:
    if most is None:
        return fault(f"{_capital(name)} cannot be read: it is no regular file.", cure="Check the path.")
    return fault(f"{_capital(name)} is no regular file of at most {most} bytes.", cure="Check the path.")


def _capital(name: str) -> str:
    return name[0].upper() + name[1:] if name.startswith(("the ", "a ")) else name
