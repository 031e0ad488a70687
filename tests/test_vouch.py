"""Seals: of exactly these bytes under exactly this name, by this user."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compress import vouch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "cardiocompress" / "secret"


def test_what_is_written_is_read_back_by_its_name_alone(home: Path, tmp_path: Path) -> None:
    path, array = tmp_path / "a.npz", np.arange(6, dtype=np.uint8).reshape(2, 3)
    vouch.write_sealed(path, "a", array=array)
    found = vouch.read_sealed(path, "a")
    assert found is not None and np.array_equal(found["array"], array) and found["array"].dtype == array.dtype
    assert vouch.read_sealed(path, "b") is None and vouch.read_sealed(tmp_path / "none", "a") is None
    assert home.stat().st_mode & 0o777 == 0o600


def test_no_other_byte_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    vouch.write_sealed(path, "a", array=np.zeros(3), pack=False)
    whole = path.read_bytes()
    wrong = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for content in (*wrong, b"", whole[:-1], whole + b"x", whole[-32:]):
        path.write_bytes(content)
        assert vouch.read_sealed(path, "a") is None


def _bomb(path: Path) -> None:
    """Some bytes that say they are a terabyte."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**37,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("array.npy", head.getvalue())


@pytest.mark.parametrize("plant", [_bomb, os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_nothing_of_a_stranger_s_file_is_unpacked(plant: Callable[[Path], object], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was parsed"))
    plant(tmp_path / "a.npz")
    assert vouch.read_sealed(tmp_path / "a.npz", "a") is None


@pytest.mark.parametrize("damage", ["open", "short", "link"])
def test_a_secret_that_others_may_know_is_not_used(damage: str, home: Path, tmp_path: Path, monkeypatch) -> None:
    array = np.zeros(3)
    home.parent.mkdir()
    content = bytes(32) if damage != "short" else b"x"
    target = tmp_path / "known" if damage == "link" else home
    target.write_bytes(content)
    target.chmod(0o644 if damage == "open" else 0o600)
    if damage == "link":
        home.symlink_to(target)
    vouch._secret.cache_clear()
    with monkeypatch.context() as patch:  # as whoever knows the secret would write it
        patch.setattr(vouch, "_secret", lambda place: content)
        vouch.write_sealed(tmp_path / "a.npz", "a", array=array)
        assert vouch.read_sealed(tmp_path / "a.npz", "a") is not None
    assert vouch.read_sealed(tmp_path / "a.npz", "a") is None
    vouch._secret.cache_clear()
