"""`bench` on a machine that only runs models: one JSON, and what it refuses."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest

from compress.bench.machine_table import table
from compress.errors import ConfigError, GateError, ModelFileError
from compress.export.seal import seal
from compress.inference import measure
from compress.inference.measure import MeasureRequest, files_of, measure_files
from compress.progress import SILENT
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata, read_model_file
from compress.runtime.verify import BROKEN
from compress.steps.benching.elsewhere import read_machine_bench

QUICK = MeasureRequest(threads=1, rounds=3, warmup=1)


@pytest.fixture
def pair(sealed_path: Path, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "dense.onnx", tmp_path / "small.onnx"]
    for path in paths:
        path.write_bytes(sealed_path.read_bytes())
    return paths


def test_one_json_holds_all_and_is_read_again(pair: list[Path], tmp_path: Path) -> None:
    found = measure_files(pair, QUICK, out=tmp_path / "bench.json", progress=SILENT)
    assert [model.name for model in found.models] == ["dense", "small"]
    assert {model.self_test for model in found.models} == {"bit-equal"}
    assert found.models[0].sha256 == read_model_file(pair[0]).sha256
    assert found.shape == (1, 1, 32, 32) and found.threads == 1
    assert all(len(model.latency_s) == len(model.cpu_s) == 3 for model in found.models)
    assert read_machine_bench(tmp_path / "bench.json") == found
    heads, rows = table(found)
    assert [row[0] for row in rows] == ["dense", "dense (A/A)", "small"] and {len(row) for row in rows} == {len(heads)}


def test_no_host_name_no_user_and_no_path_is_told(pair: list[Path], tmp_path: Path) -> None:
    measure_files(pair[:1], QUICK, out=tmp_path / "bench.json", progress=SILENT)
    text = (tmp_path / "bench.json").read_text()
    for word in (str(tmp_path), str(Path.home()), *(w for w in (platform.node(), getpass.getuser()) if len(w) > 4)):
        assert word not in text


def test_an_earlier_record_is_replaced_and_nothing_else(pair: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    measure_files(pair[:1], QUICK, out=out, progress=SILENT)
    measure_files(pair[:1], QUICK, out=out, progress=SILENT)
    for text in ("mine", "{}", '{"kind": "another"}', "[1]"):
        out.write_text(text)
        with pytest.raises(ConfigError, match="exists and is no benchmark of files"):
            measure_files(pair[:1], QUICK, out=out, progress=SILENT)
        assert out.read_text() == text


def test_a_file_that_was_altered_is_not_run(pair: list[Path], tmp_path: Path) -> None:
    content = bytearray(pair[1].read_bytes())
    at = content.find(b"licence")
    content[at : at + 7] = b"LICENCE"
    pair[1].write_bytes(content)
    with pytest.raises((GateError, ModelFileError)):
        measure_files(pair, QUICK, out=tmp_path / "bench.json", progress=SILENT)
    assert not (tmp_path / "bench.json").exists()


def test_a_self_test_that_fails_here_is_told_and_timed(pair: list[Path], tmp_path: Path, monkeypatch) -> None:
    real = measure.verify

    def broken(path: Path, **more: object):
        found = real(path, **more)
        return type(found)(**{**vars(found), "verdict": BROKEN, "reasons": ("logits differ by 3",)})

    monkeypatch.setattr(measure, "verify", broken)
    found = measure_files(pair[:1], QUICK, out=tmp_path / "bench.json", progress=SILENT)
    assert found.models[0].self_test == "broken"
    assert "dense is broken here: logits differ by 3" in found.warnings


def test_sizes_that_differ_are_refused(pair: list[Path], tmp_path: Path) -> None:
    card = read_card(read_metadata(pair[1]), pair[1])
    rules = type(card.preprocessing)(card.preprocessing.spacing_mm, (64, 32), card.preprocessing.clip_percentiles)
    seal(pair[1], type(card)(**{**vars(card), "preprocessing": rules}))
    with pytest.raises(ConfigError, match="different sizes: dense 32 x 32, small 64 x 32"):
        measure_files(pair, QUICK, out=tmp_path / "bench.json", progress=SILENT)


def test_a_folder_is_a_bundle_or_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is no bundle"):
        files_of([tmp_path])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "cardiocompress benchmark of files", "schema": 99}', "no json"],
)
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(Exception, match=r"bench\.json") as raised:
        read_machine_bench(path)
    assert type(raised.value).__module__ == "compress.errors"


def test_a_record_with_a_wrong_field_is_refused(pair: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    measure_files(pair[:1], QUICK, out=path, progress=SILENT)
    whole = json.loads(path.read_text())
    for field, value in (("models", []), ("control_s", "x"), ("shape", [1, 2]), ("environment", None)):
        path.write_text(json.dumps({**whole, field: value}))
        with pytest.raises(Exception, match=r"benchmark of files|no measured file") as raised:
            read_machine_bench(path)
        assert type(raised.value).__module__ == "compress.errors"
