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
