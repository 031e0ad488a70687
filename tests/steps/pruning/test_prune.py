"""A run folder of an earlier version: its `none` is today's `keep`, and nothing is made twice without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workspace_kit import tiny_workspace

from compress.config import Pruning, Ratios
from compress.progress import Progress
from compress.steps.networks import stages_of
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.reporting.refresh import write_pages
from compress.steps.workspace import Workspace

WANTED = Pruning(ratios=Ratios(default=0.5, align="none"), finetune_epochs=1)


class Heard(Progress):
    """Everything that the user was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    warn = note


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path) -> Path:
    """The folder of a pruned network; tests must not write into it."""
    made = tiny_workspace(tmp_path_factory.mktemp("pruned"), tiny_phantom)
    prune_and_retrain(made, WANTED)
    return made.run.pruned("keep").root


@pytest.fixture
def ws(tmp_path: Path, tiny_phantom: Path, pruned: Path, heard: Heard) -> Workspace:
    """With one pruned network in the folder that versions up to 0.4 gave it."""
    made = tiny_workspace(tmp_path, tiny_phantom)
    shutil.copytree(pruned, made.run.pruned("none").root)
    return Workspace(made.config, heard)


def test_a_network_called_none_is_still_reported(ws: Workspace):
    assert list(stages_of(ws)) == ["dense", "pruned-none"]
    write_pages(ws)
    assert "pruned-none" in ws.run.report_md.read_text()


def test_its_copy_is_announced_and_leaves_it_alone(ws: Workspace, heard: Heard):
    before = ws.run.pruned("none").final.read_bytes()
    prune_and_retrain(ws, WANTED)
    (told,) = (line for line in heard.lines if "rename" in line)
    assert str(ws.run.pruned("none").root) in told and "rename the folder to keep" in told
    assert list(stages_of(ws)) == ["dense", "pruned-keep", "pruned-none"]
    assert ws.run.pruned("none").final.read_bytes() == before


@pytest.mark.parametrize("name", ["none", "keep"])
def test_it_is_used_by_its_own_name_or_renamed(ws: Workspace, heard: Heard, name: str):
    if name == "keep":
        ws.run.pruned("none").root.rename(ws.run.pruned("keep").root)
    prune_and_retrain(ws, WANTED.but(name=name))
    assert any("already done" in line for line in heard.lines)
    assert not any("rename" in line for line in heard.lines)


def test_networks_of_a_sweep_are_announced_too(ws: Workspace, heard: Heard):
    ws.run.pruned("none").root.rename(ws.run.pruned("half-none-seed1").root)
    prune_and_retrain(ws, WANTED.but(finetune_epochs=0, name="half-keep-seed1"))
    assert any("rename the folder to half-keep-seed1" in line for line in heard.lines)
    heard.lines.clear()
    prune_and_retrain(ws, WANTED.but(finetune_epochs=0, reinitialize_weights="random", name="random"))
    assert not any("rename" in line for line in heard.lines)
