"""What another machine measured comes into the run folder and onto its page, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compress.bench.machine_report import MachineBench
from compress.config import Config
from compress.errors import ConfigError, InputError
from compress.files import digest_file
from compress.inference.measure import MeasureRequest, measure_files
from compress.progress import SILENT
from compress.rundir import RunDir
from compress.steps.benching import elsewhere
from compress.steps.benching.elsewhere import take_in
from compress.steps.reporting import facts
from compress.steps.reporting.sections import speed


@pytest.fixture
def ws(tmp_path: Path, sealed_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of a workspace as is asked for: a run folder, one of whose networks is the sealed file."""
    monkeypatch.setattr(elsewhere, "own_files", lambda ws: {"pruned-keep": sealed_path})
    root = RunDir.of(Config())
    return SimpleNamespace(run=type(root)(tmp_path / "run", *list(vars(root).values())[1:]))


@pytest.fixture
def sent(sealed_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sent.json"
    measure_files([sealed_path], MeasureRequest(threads=1, rounds=3, warmup=1), out=path, progress=SILENT)
    return path


def test_a_record_is_taken_in_once(ws: Any, sent: Path) -> None:
    assert take_in(ws, sent) == take_in(ws, sent)
    (kept,) = ws.run.all_measured_elsewhere()
    assert elsewhere.read_machine_bench(kept) == elsewhere.read_machine_bench(sent)


def test_a_record_of_other_files_is_refused(ws: Any, sent: Path, tmp_path: Path, monkeypatch) -> None:
    (other := tmp_path / "other.onnx").write_bytes(b"other")
    monkeypatch.setattr(elsewhere, "own_files", lambda ws: {"dense": other})
    with pytest.raises(ConfigError, match="speaks of no file of the run"):
        take_in(ws, sent)
    with pytest.raises(ConfigError, match="is a folder"):
        take_in(ws, tmp_path)
    with pytest.raises(InputError, match=r"other\.onnx"):
        take_in(ws, other)
    assert ws.run.all_measured_elsewhere() == []


def shown(report: MachineBench, tmp_path: Path) -> str:
    found: Any = SimpleNamespace(benches={}, elsewhere=[report], quantized=[])
    return " ".join(str(part) for part in speed(found, tmp_path))


def test_the_page_shows_it_by_the_runs_names(ws: Any, sent: Path, sealed_path: Path, tmp_path: Path) -> None:
    report = facts._elsewhere(take_in(ws, sent), {"pruned-keep": digest_file(sealed_path)})
    markup = shown(report, tmp_path)
    assert "Measured elsewhere: " in markup and "pruned-keep" in markup and "bit-equal" in markup
    assert "hantom" in markup, "the network was trained on generated images"
    with pytest.raises(InputError, match="no file that this run holds now"):
        facts._elsewhere(take_in(ws, sent), {"pruned-keep": "0" * 64})
