"""A bundle with its page, made once for all tests that open it in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.bundle.ship import ShipRequest, ship


@pytest.fixture(scope="package")
def bundle(sealed_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not write into it."""
    folder = tmp_path_factory.mktemp("web") / "bundle"
    return ship(ShipRequest(sealed_path, out=folder, ungated=True, web=True, threads=1)).folder
