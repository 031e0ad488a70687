"""A configuration alone has no code run: this user must have typed the function that it names, in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from cli_kit import settings

from cli.holding import release
from cli.options import open_workspace
from compress import vouch
from compress.errors import CheckpointError
from compress.models import factory
from compress.models.checkpoint import load

NET = """from torch import nn

try:
    import winreg  # as the standard library itself tries to
except ImportError:
    pass

import pathlib

pathlib.Path("RAN").write_text("x")

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
"""
DESCRIPTION = {
    "preprocessing": {"spacing_mm": [4.0, 4.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]},
    "labels": {"RV": 1, "MYO": 2, "LV": 3},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder with a network in it, and a home where nothing was said yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    vouch._secret.cache_clear()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "net_of_mine.py").write_text(NET)
    (here / "winreg.py").write_text("import pathlib\n\npathlib.Path('RAN_TOO').write_text('y')\n")
    (here / "it.yaml").write_text(yaml.safe_dump(DESCRIPTION))
    namespace: dict[str, object] = {}
    exec(NET, namespace)
    torch.save(namespace["make"]().state_dict(), here / "w.pth")  # pyright: ignore[reportCallIssue]
    (here / "RAN").unlink()
    new_process(monkeypatch)
    return here


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "_named", {})
    monkeypatch.delitem(__import__("sys").modules, "net_of_mine", raising=False)


def read_back(*overrides: str) -> None:
    """What every command does first."""
    try:
        ws = open_workspace(None, list(overrides))
        assert load(ws.run.baseline.final).meta.architecture == "factory"
    finally:
        release()


def test_what_was_typed_once_is_taken_from_the_configuration(folder: Path, command, monkeypatch) -> None:
    import sys

    done = command("import-torch", "net_of_mine:make", "w.pth", "--preprocessing", "it.yaml")
    assert done.code == 0, done
    (folder / "RAN").unlink()
    new_process(monkeypatch)
    read_back()
    assert (folder / "RAN").exists(), "the name stands in cardiocompress.yaml"
    assert str(folder) not in sys.path and not (folder / "RAN_TOO").exists(), "only that module came from here"


def test_a_configuration_older_than_the_import_asks_for_no_second_typing(folder: Path, command, monkeypatch) -> None:
    (folder / "cardiocompress.yaml").write_text("experiment: {seed: 1}\n")
    done = command("import-torch", "net_of_mine:make", "w.pth", "--preprocessing", "it.yaml")
    assert done.code == 0, done
    new_process(monkeypatch)
    read_back()
    vouch._said(("factory", "net_of_mine:make", str(folder))).unlink()
    new_process(monkeypatch)
    with pytest.raises(CheckpointError, match="because a file names it"):
        read_back()


@pytest.mark.parametrize("words", [("train",), ("prune",), ("inspect",), ("export",), ("eval",), ("run",)])
def test_a_stranger_s_configuration_has_nothing_run(words: tuple[str, ...], folder: Path, command) -> None:
    (folder / "cardiocompress.yaml").write_text("train: {model: {factory: 'net_of_mine:make'}}\n")
    refused = command(*words, *settings())
    assert refused.code == 2 and "nobody has typed that here" in refused.err, refused
    assert "--set train.model.factory=net_of_mine:make" in refused.err
    assert not (folder / "RAN").exists() and not (folder / "artifacts").exists()


def test_it_was_typed_for_another_folder(folder: Path, command, tmp_path: Path, monkeypatch) -> None:
    assert command("import-torch", "net_of_mine:make", "w.pth", "--preprocessing", "it.yaml").code == 0
    (folder / "RAN").unlink()
    there = tmp_path / "there"
    folder.rename(there)
    monkeypatch.chdir(there)
    new_process(monkeypatch)
    assert command("inspect").code == 2 and not (there / "RAN").exists()
    read_back("train.model.factory=net_of_mine:make")
    assert (there / "RAN").exists()


def test_a_word_beside_the_configuration_counts_as_typed(folder: Path, command) -> None:
    (folder / "cardiocompress.yaml").write_text("train: {model: {factory: 'os:getcwd'}}\n")
    assert "nobody has typed" in command("inspect").err
    assert "nobody has typed" not in command("inspect", "--set", "train.model.factory=net_of_mine:make").err
