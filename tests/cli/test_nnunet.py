"""From a results folder of nnU-Net to masks, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nnunet_kit import KINDS, STOCK, write_image, write_results

MASKS = np.load(STOCK)


@pytest.mark.parametrize("name", ["regions and ignore", "two channels, masked"])
def test_the_masks_of_an_exported_file_are_stock_nnunet_s(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command
):
    """Networks of other organs, and of several channels, need no data of their own for it."""
    monkeypatch.chdir(tmp_path)
    folder, images = write_results(tmp_path, KINDS[name]), write_image(tmp_path, KINDS[name])
    assert command("import-nnunet", str(folder)).code == 0
    done = command("export")
    assert done.code == 0, done.err
    model = "artifacts/cardiac/baseline/final_model.onnx"
    for flag, way in (("--tta", "mirrored"), ("--no-tta", "plain")):
        done = command("predict", model, str(images[0]), "-o", f"out{flag}", flag, "--force")
        assert done.code == 0, done.err
        mask = np.asarray(nib.load(next(Path(f"out{flag}").glob("*.nii.gz"))).dataobj).T  # pyright: ignore
        assert np.count_nonzero(mask != MASKS[f"{name}, {way}"]) <= 2
        told = json.loads(next(Path(f"out{flag}").glob("*.json")).read_text())["images"][0]["volumes_ml"]
        assert len(told) == (3 if "regions" in name else 0)  # none is stated of a heart's image that was forced
    again = command("import-nnunet", str(folder))
    assert again.code == 0 and "holds this network already" in again.out
    assert command("train").code == 2


def test_a_network_of_our_own_is_not_mirrored(sealed_path: Path, tmp_path: Path, command):
    image = write_image(tmp_path, KINDS["plain"])[0]
    done = command("predict", str(sealed_path), str(image), "-o", str(tmp_path / "out"), "--tta")
    assert done.code == 2 and "no --tta" in done.err
