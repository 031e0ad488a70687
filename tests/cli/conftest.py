"""Running commands in this process, and one small finished experiment that several tests look at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.app import main


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
        monkeypatch.setattr(sys, "argv", ["cardiocompress", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
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
