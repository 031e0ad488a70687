"""Seals: of exactly these arrays under exactly this name, by this user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compress import vouch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "cardiocompress" / "secret"


def test_a_seal_holds_for_the_same_and_for_nothing_else(home: Path) -> None:
    array = np.arange(6, dtype=np.uint8)
    told = vouch.seal("a", array)
    assert vouch.holds(told, "a", array) and vouch.holds(np.array(told), "a", array.copy())
    for name, other in (("b", array), ("a", array[::-1]), ("a", array.reshape(2, 3)), ("a", array.astype(np.int8))):
        assert not vouch.holds(told, name, other)
    assert not vouch.holds("", "a", array) and not vouch.holds("\udcff", "a", array)
    assert home.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["open", "short", "link"])
def test_a_secret_that_others_may_know_is_not_used(damage: str, home: Path, tmp_path: Path) -> None:
    array = np.zeros(3)
    home.parent.mkdir()
    content = bytes(32) if damage != "short" else b"x"
    target = tmp_path / "known" if damage == "link" else home
    target.write_bytes(content)
    target.chmod(0o644 if damage == "open" else 0o600)
    if damage == "link":
        home.symlink_to(target)
    import hashlib
    import hmac

    known = hmac.new(content, b"a", hashlib.sha256)
    known.update(f"|{array.dtype.str}{array.shape}|".encode() + array.tobytes())
    vouch._secret.cache_clear()
    assert not vouch.holds(known.hexdigest(), "a", array)
    vouch._secret.cache_clear()
