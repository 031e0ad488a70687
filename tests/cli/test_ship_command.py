"""`ship` and `verify FOLDER` as a user types them, also where the runtime extra alone is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_kit import Place, make_place
from shipping_kit import make_verdict, write_gate
from test_bare_install import run as run_bare


@pytest.fixture
def place(tmp_path: Path, sealed_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path, sealed_path)


def gate(place: Place, folder: str = "gate", *, accepted: bool = True) -> Path:
    return write_gate(place.root / folder, make_verdict(place.model, place.model, accepted=accepted))


def test_a_bundle_is_shipped_beside_its_model_and_verified_elsewhere(place: Place, command) -> None:
    done = command("ship", place.model, "--baseline", place.model, "--verdict", gate(place), "--threads", 1)
    assert done.code == 0, done.err
    assert "PHANTOM" in done.err and "NOT GATED" not in done.err
    assert f"{place.root / 'model-bundle'}" in done.out and "verdict.json" in done.out
    moved = shutil.move(place.root / "model-bundle", place.root / "hospital")
    found = command("verify", moved, "--threads", 1)
    assert found.code == 0, found.err
    assert "consistent with its own list; nobody vouches for it" in found.out and "signature: none" in found.out
    assert "bit-equal: model.onnx" in found.out and "bit-equal: baseline.onnx" in found.out


def test_the_run_folder_s_verdict_is_found(place: Place, command) -> None:
    assert command("init").code == 0
    gate(place, "artifacts/cardiac/gate/other")
    verdict = place.root / "artifacts/cardiac/gate/pruned/verdict.json"
    assert command("ship", place.model).code == 0, "the run's only verdict on this file"
    gate(place, "artifacts/cardiac/gate/pruned")
    assert verdict.is_file()
    both = command("ship", place.model, "--restart")
    assert both.code == 2 and "2 verdicts speak of model.onnx" in both.err
    assert command("ship", place.model, "--restart", "--verdict", verdict).code == 0


def test_without_a_verdict_it_is_not_gated_everywhere(place: Place, command) -> None:
    assert command("ship", place.model).code == 4
    done = command("ship", place.model, "--ungated")
    assert done.code == 0 and "NOT GATED" in done.err
    found = command("verify", place.root / "model-bundle")
    assert found.code == 0 and "NOT GATED" in found.err


def test_a_changed_file_is_exit_code_four_and_named(place: Place, command) -> None:
    assert command("ship", place.model, "--ungated").code == 0
    note = place.root / "model-bundle" / "LICENSE-NOTE.md"
    note.write_text(note.read_text().replace("no medical device", "a medical device"))
    found = command("verify", place.root / "model-bundle")
    assert found.code == 4 and "LICENSE-NOTE.md changed" in found.err and found.err.count("\n") == 1
    told = command("verify", place.root / "model-bundle", "--json")
    assert told.code == 4
    document = json.loads(told.out)
    assert document["ok"] is False and "LICENSE-NOTE.md" in document["reasons"][0] and document["models"] == {}


def test_an_old_bundle_is_refused_on_request(place: Place, command) -> None:
    assert command("ship", place.model, "--ungated").code == 0
    assert command("verify", place.root / "model-bundle", "--not-before", "2026-01-01").code == 0
    late = command("verify", place.root / "model-bundle", "--not-before", "2999-01-01")
    assert late.code == 4 and "not of 2999-01-01 or later" in late.err
    assert command("verify", place.model, "--not-before", "2026-01-01").code == 2


def test_a_bundle_is_verified_where_only_the_runtime_extra_is(place: Place, command) -> None:
    assert command("ship", place.model, "--verdict", gate(place)).code == 0
    done = run_bare(place, "verify", "model-bundle", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "bit-equal: model.onnx" in done.stdout
    script = place.root / "model-bundle" / "example.py"
    image = run_bare(
        place, "predict", "model-bundle/model.onnx", script.with_name("example_phantom.nii.gz"), "-o", "out"
    )
    assert image.returncode == 0, image.stderr


def test_shipping_loads_no_torch(place: Place) -> None:
    words = ["cardiocompress", "ship", "model.onnx", "--ungated", "--threads", "1"]
    code = (
        "import sys; sys.modules['torch'] = sys.modules['monai'] = None\n"
        f"sys.argv = {words!r}\nfrom cli.app import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=place.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (place.root / "model-bundle" / "SHA256SUMS").is_file()
