"""The one rule: kept when whole and made from the same inputs, else made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compress.errors import DataError
from compress.steps.reuse import Result

INPUTS = {"schema": 1, "network": "a" * 64, "size": (32, 32)}


@pytest.fixture
def result(tmp_path: Path) -> Result:
    made = Result(tmp_path / "made.json", INPUTS)
    made.store({"dice": [0.5, 0.25]})
    return made


def test_the_same_inputs_give_what_was_stored(result: Result):
    assert result.stored(lambda document: document["dice"]) == [0.5, 0.25]
    assert json.loads(result.path.read_text())["inputs"] == {**INPUTS, "size": [32, 32]}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "7", '"text"', '{"inputs": 3}', '{"inputs": {"schema', "\xff\x00"]
)
def test_damage_is_made_again(result: Result, text: str):
    result.path.write_bytes(text.encode("latin-1"))
    assert result.stored() is None


def test_nothing_there_is_made(tmp_path: Path):
    assert Result(tmp_path / "none.json", INPUTS).stored() is None
    assert Result(tmp_path, INPUTS).stored() is None, "a folder is no result"


@pytest.mark.parametrize("change", [{"schema": 2}, {"network": "b" * 64}, {"size": (32, 64)}, {"more": None}])
def test_other_inputs_are_made_again(result: Result, change: dict):
    assert Result(result.path, {**INPUTS, **change}).stored() is None


@pytest.mark.parametrize(
    "fault", [KeyError("dice"), DataError("not a report"), TypeError(), AttributeError(), IndexError()]
)
def test_what_cannot_be_restored_is_made_again(result: Result, fault: Exception):
    def restore(document: dict) -> None:
        raise fault

    assert result.stored(restore) is None


def test_a_defect_is_no_damage(result: Result):
    def restore(document: dict) -> None:
        raise AssertionError("a defect of ours")

    with pytest.raises(AssertionError):
        result.stored(restore)
