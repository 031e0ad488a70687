"""Whatever `quantize` and `gate` are given: one line, the right exit code, nothing half-done."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_kit import Place, Row, check, make_place, snapshot
from hostile_models import MODELS
from hostile_proving import GATE, PROVING
from limits_kit import within

LATER = ("model and image swapped", "output of half the size", "more classes than it says", "weights that are NaN")
"""What both commands find, if at all, by other words or after their work has begun."""
OPENED = [replace(row, commands=GATE) for row in MODELS if not row.name.startswith(LATER)]
"""`quantize` opens a model by the same function."""
ROWS = [*PROVING, *OPENED]


@pytest.fixture
def place(tmp_path: Path, sealed_path: Path, tiny_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path, sealed_path)
    made.source.unlink()
    made.source = Path(shutil.copyfile(sealed_path, tmp_path / "baseline.onnx"))
    made.out = tmp_path / "made.onnx"
    runs = tmp_path_factory.getbasetemp() / "proving"  # prepared volumes are shared by all rows
    text = f"train:\n  val_ratio: 0.34\n  paths: {{train_dir: '{tiny_phantom}', save_root: '{runs}'}}\n"
    (tmp_path / "good.yaml").write_text(text + "bench: {rounds: 3, warmup: 1}\ndata: {size: [32, 32]}\n")
    return made


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_one_line_the_right_code_and_nothing_left(row: Row, place: Place, command) -> None:
    check(row, place, command)


TIMED = ("model name", "a batch of one alone", "a fixed size of another window")
"""What can be timed all the same; only segmenting with it is refused."""
BENCHED = [row for row in MODELS if not row.name.startswith((*LATER, *TIMED))]


@pytest.mark.parametrize("row", BENCHED, ids=[row.name for row in BENCHED])
def test_bench_times_no_broken_model(row: Row, place: Place, command) -> None:
    good = place.source
    row.make(place)
    before = snapshot(place.root)
    with within():
        result = command(
            "bench", good, place.model, "--no-dice", "--config", place.root / "good.yaml", "--threads", "1"
        )
    assert (result.code, result.err.count("\n")) == (2, 1) and row.says in result.err, result
    assert snapshot(place.root) == before


ENDLESS = [row for row in MODELS if row.says == "no control flow"]
"""ONNX Runtime would never have written them out, or never come to their end."""


@pytest.mark.parametrize("row", ENDLESS, ids=[row.name for row in ENDLESS])
def test_what_never_ends_is_refused_before_it_is_opened(row: Row, place: Place, command) -> None:
    good = place.source
    row.make(place)
    before = snapshot(place.root)
    bench, gate = ("bench", good, place.model, "--no-dice"), ("gate", good, place.model)
    for words in (bench, gate, ("quantize", place.model)):
        with within():
            result = command(*words, "--config", place.root / "good.yaml", "--threads", "1")
        assert (result.code, result.err.count("\n")) == (2, 1) and row.says in result.err, (words, result)
    assert snapshot(place.root) == before
