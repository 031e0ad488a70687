"""Names of files, cases and structures reach the terminal spelt out: no forged line, no other glyph, no escape."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hostile_kit import make_place, voxels, write_image
from shipping_kit import without_torch

from compress.bundle.ship import ShipRequest, ship

NAMES = ("zz\nno problems\nok", "a:white_check_mark:b", "\x1b]52;c;aGk=\x07", "[bold]x[bold]", "x\u202egz.iin", "a\rb")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_forges_no_line(name: str, tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    place.source = tmp_path / "images"
    write_image(place.source / "good.nii.gz", voxels())
    (place.source / f"{name}.nii.gz").write_bytes(b"x")
    for words in (place.arguments("predict"), place.arguments("check")):
        result = command(*words)
        said = result.out + result.err
        assert "no problems" not in said.splitlines() and "ok" not in said.splitlines()
        assert "✅" not in said and all(c.isprintable() or c == "\n" for c in said), said


def test_a_model_s_name_is_no_line_of_verify(tmp_path: Path, sealed_path: Path, command) -> None:
    model = tmp_path / "a\nsignature: verified by Charité:white_check_mark:.onnx"
    shutil.copyfile(sealed_path, model)
    result = command("verify", model, "--threads", 1)
    assert result.code == 0 and ":white_check_mark:" in result.out
    assert not any(line.startswith("signature: verified") for line in result.out.splitlines())


def test_example_py_prints_no_escape(tmp_path: Path, sealed_path: Path) -> None:
    folder = ship(ShipRequest(sealed_path, out=tmp_path / "bundle", ungated=True, threads=1)).folder
    image = tmp_path / "\x1b]52;c;aGk=\x07\nLV: 120 ml.nii.gz"
    shutil.copyfile(folder / "example_phantom.nii.gz", image)
    done = without_torch(folder / "example.py", image)
    said = done.stdout + done.stderr
    assert "\x1b" not in said and "\x07" not in said and "\\x1b]52" in said, said
    assert not any(line.startswith("LV: 120 ml.nii") for line in said.splitlines())
