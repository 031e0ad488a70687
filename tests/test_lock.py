"""One folder, one process: on POSIX, on Windows, and where nothing can be locked."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from compress import lock
from compress.errors import ConfigError
from compress.lock import locked
from compress.progress import Progress


class Warnings(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As there: no fcntl, folders cannot be opened, and msvcrt says "permission denied" of what is locked."""

    def locking(handle: int, mode: int, _: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if mode == 2 else 0))
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def opened(path: Path, *arguments: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.open(path, *arguments)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(locking=locking, LK_LOCK=1, LK_NBLCK=2))
    monkeypatch.setattr(lock, "os", SimpleNamespace(**{**vars(os), "open": opened}))


def nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exclusive lock of what is opened for reading alone, as a folder is, is refused there."""

    def flock(handle: int, how: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        fcntl.flock(handle, how)

    monkeypatch.setattr(lock, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": flock}))


@pytest.mark.parametrize("system", [None, windows, nfs])
def test_a_second_one_is_refused_until_the_first_ends(system, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if system:
        system(monkeypatch)
    folder, told = tmp_path / "runs" / "heart", Warnings()
    with locked(folder, progress=told):
        with pytest.raises(ConfigError, match="Another process is writing to"), locked(folder, progress=told):
            pytest.fail("held twice")
        (folder / "result").write_text("")
    with locked(folder, progress=told):
        pass
    assert told.said == [] and (folder / "result").is_file()


@pytest.mark.parametrize("system", [None, windows])
def test_folders_that_stay_empty_go_again(system, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if system:
        system(monkeypatch)
    with pytest.raises(KeyError), locked(tmp_path / "runs" / "heart"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_no_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": flock}))
    told = Warnings()
    with locked(tmp_path, progress=told):
        pass
    assert len(told.said) == 1 and "without locks (No locks available)" in told.said[0]


def test_a_lock_does_not_outlive_a_crash(tmp_path: Path):
    code = "import sys, time; from pathlib import Path; from compress.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError), locked(tmp_path):
            pytest.fail("held twice")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locked(tmp_path):
        pass
