"""A bundle with its page, made once for all tests that open it in a browser; a request that `ship` fulfils."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shipping_kit import accepted_request

from compress.bundle.ship import ShipRequest, ship


@pytest.fixture(scope="package")
def bundle(sealed_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not write into it."""
    folder = tmp_path_factory.mktemp("web") / "bundle"
    return ship(ShipRequest(sealed_path, out=folder, ungated=True, web=True, threads=1)).folder


@pytest.fixture
def model(tmp_path: Path, sealed_path: Path) -> Path:
    return Path(shutil.copyfile(sealed_path, tmp_path / "pruned.onnx"))


@pytest.fixture
def request_(tmp_path: Path, model: Path) -> ShipRequest:
    return accepted_request(tmp_path, model)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key for signing; its public one lies beside it."""
    pytest.importorskip("model_signing", reason="the extra [signing] is not installed")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    pair = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "keys" / "key.pem"
    path.parent.mkdir()
    path.write_bytes(pair.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public = pair.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    path.with_name("public.pem").write_bytes(public)
    return path
