"""On a box with the runtime extra alone: what runs there, and what says in one line what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hostile_kit import Place, make_place

from compress.extras import install_command

BLOCKED = (
    *("torch", "monai", "onnx", "onnxscript", "pydantic", "yaml", "matplotlib", "safetensors", "fvcore", "scipy"),
    *("tensorboard", "wandb", "jinja2"),
)
_START = f"""
import sys
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Bare())
from cli.app import main
main()
"""


def run(place: Place, *words: object) -> subprocess.CompletedProcess[str]:
    """The command in a fresh process that cannot import what only the training side needs."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _START, *map(str, words)],
        cwd=place.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path, sealed_path: Path) -> Place:
    return make_place(tmp_path, sealed_path)


def test_predict_gives_the_same_mask(place: Place, command) -> None:
    done = run(place, *place.arguments("predict"))
    assert done.returncode == 0, done.stderr
    alone = place.out
    place.out = place.root / "whole"
    assert command(*place.arguments("predict")).code == 0
    masks = [np.asarray(nib.loadsave.load(out / "heart.nii.gz").dataobj) for out in (alone, place.out)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert len(np.unique(masks[0])) > 1, "an empty mask would prove nothing"
    for name in ("heart.nii.gz", "heart.json"):
        assert (alone / name).read_bytes() == (place.out / name).read_bytes()


@pytest.mark.parametrize(("name", "said"), [("info", "Labels"), ("verify", "bit-equal")])
def test_info_and_verify_run(name: str, said: str, place: Place) -> None:
    done = run(place, *place.arguments(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


def test_bench_writes_what_can_be_sent_back(place: Place) -> None:
    done = run(place, "bench", place.model, "--rounds", "2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "bit-equal" in done.stdout and "Written: bench.json" in done.stdout
    assert json.loads((place.root / "bench.json").read_text())["models"][0]["self_test"] == "bit-equal"


@pytest.mark.parametrize(
    ("words", "extra"),
    [(("train",), "train"), (("predict", "model.onnx", "heart.nii.gz", "-o", "out", "--overlays"), "overlays")],
)
def test_what_is_missing_is_named_with_its_extra(words: tuple[str, ...], extra: str, place: Place) -> None:
    done = run(place, *words)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert install_command(extra) in done.stderr
    assert not place.out.exists()
