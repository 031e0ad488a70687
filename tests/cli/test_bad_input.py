"""Everything that a user can get wrong ends in one line and the right exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import settings

Damage = Callable[[Path], None]


def _image(folder: Path) -> Path:
    return next(p for p in sorted((folder / "training" / "patient001").glob("*frame01.nii.gz")))


def _mask(folder: Path) -> Path:
    return _image(folder).with_name(_image(folder).name.replace(".nii.gz", "_gt.nii.gz"))


DATA_FAULTS: dict[str, tuple[Damage, str]] = {
    "missing folder": (shutil.rmtree, "does not exist"),
    "image without mask": (lambda f: _mask(f).unlink(), "mask"),
    "truncated gzip": (lambda f: _image(f).write_bytes(_image(f).read_bytes()[:2000]), "truncated"),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_bad_data_is_one_line_and_exit_code_two(fault, tmp_path, tiny_phantom, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("init").code == 0
    folder = shutil.copytree(tiny_phantom, tmp_path / "copy")
    damage, word = DATA_FAULTS[fault]
    damage(folder)
    result = command("train", *settings(f"train.paths.train_dir={folder}"))
    assert result.code == 2
    last = result.err.strip().splitlines()[-1]
    assert last.startswith("error: ") and word.lower() in last.lower(), result.err
    assert "Traceback" not in result.err
    assert not list(tmp_path.glob("artifacts/**/*.safetensors"))


RATIO_FAULTS = {
    "unknown block": ("default: 0.5\nblock_ratios: {encoders.9: 0.5}\n", "encoders.9"),
    "empties a layer": ("default: 0.95\nalign: none\n", "remove every filter"),
    "broken YAML": ("default: [0.5\n", "YAML"),
    "a list": ("- 0.5\n", "list"),
}


@pytest.mark.parametrize("fault", RATIO_FAULTS)
def test_bad_ratios_are_exit_code_two(fault, experiment, command, request):
    text, word = RATIO_FAULTS[fault]
    Path("bad.yaml").write_text(text)
    if fault == "empties a layer":
        request.getfixturevalue("trained")
    result = command("prune", "--ratios", "bad.yaml", *settings("train.parameters.num_epochs=1"))
    assert result.code == 2
    assert word in result.err and result.err.count("\n") == 1, result.err
    assert not Path("artifacts/cardiac/pruned").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("train",), 2, "cardiocompress init"),
        (("train", "--config", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("data", "check", "nowhere"), 2, "does not exist"),
        (("data", "phantom", ".", "--patients", "0"), 2, "patients"),
    ],
)
def test_an_empty_folder(arguments, code, word, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command(*arguments)
    assert (result.code, word in result.err) == (code, True), result.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("prune",), "No checkpoint"),
        (("prune", "--ratios", "nowhere.yaml"), "nowhere.yaml"),
        (("prune", "--init", "rewound"), "rewind"),
        (("prune", "--finetune", "some"), "none"),
        (("prune", "--schedule", "fine-tune"), "Did you mean 'finetune'?"),
        (("prune", "--method", "l3"), "bn-scale"),
        (("prune", "--scope", "whole"), "'local' or 'global'"),
        (("prune", "--align", "wide"), "--align is 'wide'; a whole number or the word auto or none"),
        (("prune", "--name", "../up"), "name"),
        (("finetune",), "No checkpoint"),
        (("inspect",), "No checkpoint"),
        (("eval",), "No checkpoint"),
        (("export",), "train"),
        (("bench",), "prune"),
        (("bench", "nowhere.onnx"), "nowhere.onnx"),
        (("bench", "--provider", "tpu"), "cpu"),
        (("train", "--resume", "--restart"), "exclude"),
        (("train", "--set", "train.batch_sise=4"), "Did you mean 'batch_size'?"),
        (("train", "--set", "just-a-word"), "key.path=value"),
        (("init",), "--force"),
    ],
)
def test_too_early_or_misspelt(arguments, word, experiment, command):
    extra = [] if arguments[0] == "init" else settings()
    result = command(*arguments, *extra)
    assert result.code == 2
    assert word in result.err and result.err.count("\n") == 1, result.err


def test_data_check_lists_every_problem(tmp_path, tiny_phantom, command):
    folder = shutil.copytree(tiny_phantom, tmp_path / "copy")
    _mask(folder).unlink()
    (folder / "training/patient002/patient002_frame01.nii.gz").write_bytes(b"")
    result = command("data", "check", folder)
    assert result.code == 2
    assert result.out.count("problem:") == 2


def test_data_phantom_refuses_a_folder_in_use(tmp_path, command):
    (tmp_path / "mine.txt").write_text("precious")
    result = command("data", "phantom", tmp_path)
    assert result.code == 2 and (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("option", [("--public-key", "k.pem"), ("--not-before", "2026-01-01")])
@pytest.mark.parametrize("there", [True, False])
def test_what_only_a_bundle_has_is_asked_of_a_folder(option, there, tmp_path, command):
    if there:
        (tmp_path / "bundel").write_bytes(b"x")
    result = command("verify", str(tmp_path / "bundel"), *option)
    assert result.code == 2
    assert ("is a file" if there else "is not there") in result.err and "bundle's folder" in result.err


@pytest.mark.parametrize(
    "words", [("import-torch", "nowhere:net", "w.pth", "--preprocessing", "it.yaml"), ("import-nnunet", "nowhere")]
)
def test_a_refused_import_leaves_no_configuration(words, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it.yaml").write_text("labels: {LV: 1}\n")
    (tmp_path / "w.pth").write_bytes(b"no weights")
    before = set(tmp_path.iterdir())
    assert command(*words).code == 2
    assert set(tmp_path.iterdir()) == before
