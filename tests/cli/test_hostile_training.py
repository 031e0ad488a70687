"""Whatever `data check`, `train`, `prune`, `inspect` and their files are given: one line, exit code 2, no file left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_kit import settings
from hostile_training import ACDC, CHECKPOINTS, NNUNET, YAML, link, pipe
from limits_kit import no_longer_than

SECONDS = 20


def refused(result, says: str) -> None:
    assert result.code == 2, result
    assert says in result.err + result.out, result
    last = result.err.splitlines()[-1]
    assert last.startswith("error: ") and last.isprintable() and "Traceback" not in result.err


def _two_patients(tiny_phantom: Path, folder: Path) -> Path:
    for number in (1, 2):
        name = f"training/patient{number:03d}"
        shutil.copytree(tiny_phantom / name, folder / name)
    return folder


@pytest.fixture
def begun(tmp_path: Path, command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the configuration that `init` writes."""
    monkeypatch.chdir(tmp_path)
    assert command("init").code == 0


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("kind", ACDC)
def test_a_hostile_acdc_folder(kind: str, tmp_path: Path, tiny_phantom: Path, command) -> None:
    damage, says = ACDC[kind]
    folder = _two_patients(tiny_phantom, tmp_path / "data")
    damage(folder)
    with no_longer_than(SECONDS):
        refused(command("data", "check", folder), says)
        refused(command("train", *settings(f"train.paths.train_dir={folder}")), says.split()[0])
    assert not list(tmp_path.glob("artifacts/**/*.safetensors"))


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("kind", NNUNET)
def test_a_hostile_dataset_json(kind: str, tmp_path: Path, tiny_phantom: Path, command) -> None:
    damage, says = NNUNET[kind]
    (image,) = (tiny_phantom / "training/patient001").glob("*frame01.nii.gz")
    for folder, name, source in (
        ("imagesTr", "a_0000", image),
        ("labelsTr", "a", image.with_name(image.name.replace(".nii", "_gt.nii"))),
    ):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        shutil.copyfile(source, tmp_path / "raw" / folder / f"{name}.nii.gz")
    damage(tmp_path / "raw" / "dataset.json")
    with no_longer_than(SECONDS):
        refused(command("data", "check", tmp_path / "raw"), says)
        refused(command("train", *settings(f"train.paths.train_dir={tmp_path / 'raw'}")), says)


@pytest.mark.parametrize("kind", YAML)
def test_a_hostile_configuration_or_ratios(kind: str, tmp_path: Path, command, monkeypatch) -> None:
    text, says = YAML[kind]
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert command("init").code == 0
    with no_longer_than(SECONDS):
        for words in (("train", "--config", "bad.yaml"), ("bench", "--config", "bad.yaml")):
            refused(command(*words), says)
        refused(command("prune", "--ratios", "bad.yaml"), says)


@pytest.mark.parametrize("make", [pipe, link("/dev/zero"), Path.mkdir], ids=["pipe", "endless", "folder"])
def test_a_configuration_that_is_no_file(make, tmp_path: Path, command, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "bad.yaml")
    with no_longer_than(SECONDS):
        refused(command("train", "--config", "bad.yaml"), "is no regular file")


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_hostile_checkpoint(kind: str, tmp_path: Path, tiny_phantom: Path, command, monkeypatch) -> None:
    make, says = CHECKPOINTS[kind]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "bad.safetensors")
    words = settings(f"train.paths.train_dir={tiny_phantom}")
    with no_longer_than(SECONDS):
        refused(command("train", "--from", "bad.safetensors", *words), says)


def test_a_plan_and_a_meta_that_are_none(trained: Path, command) -> None:
    """Run-folder JSON of a stranger: read again, or one line."""
    for name in ("split.json", "baseline/stage.json"):
        path = trained / name
        if path.exists():
            path.write_text(json.dumps({"inputs": "[" * 1000}))
    result = command("inspect", *settings())
    assert result.code in (0, 2) and "Traceback" not in result.err, result
