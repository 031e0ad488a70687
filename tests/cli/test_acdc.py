"""The same commands on real patients: skipped unless CARDIOCOMPRESS_ACDC names the data."""

from __future__ import annotations

import json
import shutil

import pytest
from cli_kit import settings


@pytest.mark.acdc
def test_the_chain_on_real_patients(acdc_dir, tmp_path, command, monkeypatch):
    source = acdc_dir / "training" if (acdc_dir / "training").is_dir() else acdc_dir
    for number in (1, 21, 41, 61, 74, 76, 81, 90):
        name = f"patient{number:03d}"
        shutil.copytree(source / name, tmp_path / "few" / "training" / name)
    monkeypatch.chdir(tmp_path)
    assert command("init", "--data", tmp_path / "few").code == 0
    trained = command("train", *settings())
    assert trained.code == 0, trained.err
    assert "patient074, patient076" in trained.err
    assert "phantom" not in trained.out
    assert command("prune", *settings()).code == 0
    done = command("bench", *settings())
    assert done.code == 0 and "phantom" not in done.out
    run = tmp_path / "artifacts" / "cardiac"
    split = json.loads((run / "split.json").read_text())
    assert sum(p in split["val"] for p in ("patient074", "patient076")) in (0, 2)
    assert json.loads((run / "baseline" / "parity.json").read_text())["report"]["ok"] is True
