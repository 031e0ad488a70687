"""A key is opened once: what signs, checks and is named by its fingerprint are the same bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from limits_kit import no_longer_than

from compress.bundle import signature
from compress.errors import EnvironmentFault, InputError
from compress.files import digest_file


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read is a pipe a moment later, which who opens it again waits for."""
    real = signature.read_bytes

    def read(path: Path, **words: Any) -> bytes:
        content = real(path, **words)
        path.unlink()
        os.mkfifo(path)
        return content

    monkeypatch.setattr(signature, "read_bytes", read)


@pytest.mark.usefixtures("swapped")
def test_a_key_that_is_swapped_while_it_is_read_signs_and_checks_as_it_was_read(key: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    with no_longer_than(20):
        sign, verify = signature.signer(key), signature.verifier(key.with_name("public.pem"))
        sign(folder, {"a.txt": digest_file(folder / "a.txt")})
        assert (verify(folder), verify.fingerprint) == ("", sign.fingerprint)
        (folder / "a.txt").write_text("b")
        assert "is not a signature of this folder" in verify(folder)


@pytest.mark.parametrize("content", [b"", b"secret", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_one_line(content: bytes, key: Path) -> None:
    key.write_bytes(content)
    for make, says in ((signature.signer, "no private key"), (signature.verifier, "no public key")):
        with pytest.raises(InputError, match=says):
            make(key)


@pytest.mark.parametrize("part", ["signing", "verifying"])
def test_a_package_that_keeps_its_signer_elsewhere_is_refused(part: str, key: Path, monkeypatch) -> None:
    """Its default is to ask a network for a signer."""
    package = pytest.importorskip(f"model_signing.{part}")
    monkeypatch.setattr(package.Config, "__init__", lambda self: None)
    with pytest.raises(EnvironmentFault, match="is not known here"):
        signature.signer(key) if part == "signing" else signature.verifier(key.with_name("public.pem"))
