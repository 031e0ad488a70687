"""An exported file has its name only once its parity is proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspace_kit import tiny_workspace

from compress.data.tidy import Tidy
from compress.errors import GateError, InputError
from compress.files import write_json
from compress.models.checkpoint import Checkpoint
from compress.rundir import Stage
from compress.steps.exporting import export as exporting
from compress.steps.exporting.export import export_stage
from compress.steps.exporting.parity import ParityDocument, measure_parity
from compress.steps.workspace import Workspace

Place = tuple[Workspace, Stage]


@pytest.fixture
def place(tiny_phantom: Path, tmp_path: Path) -> Place:
    """A workspace and the stage of its untrained network."""
    ws = tiny_workspace(tmp_path, tiny_phantom, features=(4, 8))
    return ws, ws.run.baseline


@pytest.fixture
def quick(sealed_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another network of the same shape is there at once, for tests in which nobody compares it."""
    content = sealed_path.read_bytes()
    monkeypatch.setattr(exporting, "export_checkpoint", lambda _, path: path.write_bytes(content) and path)


def names(stage: Stage) -> list[str]:
    return sorted(path.name for path in stage.root.iterdir())


def sealed_but_not_final(path: Path, stage: Stage) -> None:
    assert path.is_file() and path.parent == stage.root
    assert not stage.onnx.exists() and not stage.parity.exists()


def test_the_file_gets_its_name_after_parity(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ws, stage = place

    def watched(ws: Workspace, checkpoint: Checkpoint, path: Path, *, name: str, tidy: Tidy) -> ParityDocument:
        sealed_but_not_final(path, stage)
        assert not tidy.shares and name == stage.onnx.name
        return measure_parity(ws, checkpoint, path, name=name)

    monkeypatch.setattr(exporting, "measure_parity", watched)
    assert export_stage(ws, stage).ok
    assert names(stage) == ["final_model.onnx", "final_model.safetensors", "parity.json"]


@pytest.mark.usefixtures("quick")
def test_nothing_stays_when_parity_cannot_be_measured(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ws, stage = place
    stage.onnx.write_bytes(b"an older export")
    write_json(stage.parity, {"of": "the older export"})

    def fails(ws: Workspace, checkpoint: Checkpoint, path: Path, *, name: str, tidy: Tidy) -> ParityDocument:
        sealed_but_not_final(path, stage)
        raise InputError("cannot be compared")

    monkeypatch.setattr(exporting, "measure_parity", fails)
    with pytest.raises(InputError, match="cannot be compared"):
        export_stage(ws, stage)
    assert names(stage) == ["final_model.safetensors"]


@pytest.mark.usefixtures("quick")
def test_nothing_stays_when_parity_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ws, stage = place

    def differs(ws: Workspace, checkpoint: Checkpoint, path: Path, *, name: str, tidy: Tidy) -> ParityDocument:
        sealed_but_not_final(path, stage)
        return ParityDocument(True, ())

    monkeypatch.setattr(exporting, "measure_parity", differs)
    with pytest.raises(GateError, match=r"^final_model\.onnx differs from torch: .*\. The file was removed\."):
        export_stage(ws, stage)
    assert names(stage) == ["final_model.safetensors"]


def test_an_intact_export_is_kept_and_a_damaged_report_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, stage = place
    first = export_stage(ws, stage)
    intact = stage.parity.read_text(encoding="utf-8")
    calls = []

    def counted(*arguments: object, name: str, tidy: Tidy) -> ParityDocument:
        calls.append(name)
        return first

    monkeypatch.setattr(exporting, "measure_parity", counted)
    assert export_stage(ws, stage) == first and calls == [], "an intact pair is left as it is"
    content = stage.onnx.read_bytes()
    monkeypatch.setattr(exporting, "export_checkpoint", lambda _, path: path.write_bytes(content) and path)
    document = json.loads(intact)
    headless = {key: value for key, value in document.items() if key != "report"}
    reports = ({**document, "report": report} for report in (3, {"schema": document["report"]["schema"]}))
    for number, damaged in enumerate((intact[:40], "", *map(json.dumps, ([], headless, *reports))), start=1):
        stage.parity.write_text(damaged, encoding="utf-8")
        assert export_stage(ws, stage).ok and len(calls) == number
        assert stage.parity.read_text(encoding="utf-8") == intact
