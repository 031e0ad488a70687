"""What every test may use: the real data when it is there, and a small phantom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from compress.data.phantom import write_phantom

torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def acdc_dir() -> Path:
    """The real ACDC data; the test is skipped where there is none."""
    named = os.environ.get("CARDIOCOMPRESS_ACDC", "")
    if not named:
        pytest.skip("CARDIOCOMPRESS_ACDC is not set to a folder with the real ACDC data")
    if not Path(named).is_dir():
        pytest.skip(f"CARDIOCOMPRESS_ACDC is {named}, which is not a folder")
    return Path(named)


@pytest.fixture(scope="session")
def tiny_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic patients in ACDC's layout; tests must not write into the folder."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), patients=6, seed=11)
