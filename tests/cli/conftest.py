"""Running commands in this process, and one small finished experiment that several tests look at."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_kit import exit_code, settings


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """command("train", "--set", ...) -> exit code and what was printed."""

    def call(*arguments: object) -> Result:
        code = exit_code(monkeypatch, *arguments)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return call


@pytest.fixture
def experiment(tmp_path: Path, tiny_phantom: Path, monkeypatch: pytest.MonkeyPatch, command: Run) -> Path:
    """A folder that `init` made, with the tiny phantom as its data."""
    monkeypatch.chdir(tmp_path)
    assert command("init", "--data", tiny_phantom).code == 0
    text = (tmp_path / "ratios.yaml").read_text()
    blocks = ("encoders.0", "encoders.1", "bottleneck", "decoders.1", "decoders.3")
    kept = [line for line in text.splitlines() if not line.startswith("  ") or line.strip().split(":")[0] in blocks]
    assert "align: auto" in kept
    kept[kept.index("align: auto")] = "align: none"  # these networks are narrower than any vector
    (tmp_path / "ratios.yaml").write_text("\n".join(kept) + "\n")
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path) -> Path:
    """What `train` with the tiny configuration leaves; tests must not write into it."""
    folder, said = tmp_path_factory.mktemp("trained"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        assert exit_code(patch, "init", "--data", tiny_phantom) == 0
        assert exit_code(patch, "train", *settings()) == 0
    assert "(phantom)" in said.getvalue()
    return folder / "artifacts"


@pytest.fixture
def trained(experiment: Path, trained_once: Path) -> Path:
    """The run folder of an experiment whose dense network is trained."""
    return Path(shutil.copytree(trained_once, experiment / "artifacts")) / "cardiac"


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands do not write the run's pages, which takes longer than what most of them do."""
    from compress.steps.reporting import refresh

    monkeypatch.setattr(refresh, "write_pages", lambda ws: None)
