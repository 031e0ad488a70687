"""Whatever `quantize` and `gate` are given: one line, the right exit code, nothing half-done."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_inputs import ROWS as RUNNING
from hostile_kit import Place, Row, make_place, repeated, snapshot
from hostile_proving import BOTH, PROVING
from test_hostile import run


def _broken_models() -> list[Row]:
    """Every file that `verify` refuses to read must be refused here too, before any data is.

    Both commands open files through `Segmenter`: they take turns.
    """
    broken = [row for row in RUNNING if row.code == 2 and {"verify", "info"} <= set(row.commands)]
    return [replace(row, commands=BOTH[index % 2 :][:1]) for index, row in enumerate(broken)]


ROWS = [*PROVING, *_broken_models()]


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
    with place.undo:
        row.make(place)
        before = snapshot(place.root)
        for name in row.commands:
            result = run(row, name, place, command)
            assert result.code == row.code, (name, result)
            *warnings, error = result.err.splitlines()
            assert error.startswith("error: ") and row.says in error, (name, result)
            assert all(line.startswith("warning: ") for line in warnings), (name, result)
            assert error.isprintable() and "Traceback" not in result.err + result.out
        assert snapshot(place.root) == before, "inputs are left alone, and nothing is added"


def test_the_list_is_long_and_every_row_has_its_own_name() -> None:
    assert len(ROWS) >= 60
    assert not list(repeated(tuple(row.name for row in ROWS)))
