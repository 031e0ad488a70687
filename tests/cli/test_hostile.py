"""Whatever `predict`, `info` and `verify` are given: one line, the right exit code, nothing half-done."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import onnx
import pytest
from hostile_inputs import ROWS
from hostile_kit import Place, Row, card, check, make_place, snapshot, voxels, write_image
from hostile_proving import PROVING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_one_line_the_right_code_and_nothing_left(row: Row, tmp_path: Path, sealed_path: Path, command) -> None:
    check(row, make_place(tmp_path, sealed_path), command)


def test_every_row_has_its_own_name() -> None:
    for rows in (ROWS, PROVING):
        assert len({row.name for row in rows}) == len(rows)


FLIPS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
FINE = ("info", "verify")


def ends(command, place: Place, name: str) -> int:
    """The exit code, after a check that an error is one line."""
    result = command(*place.arguments(name))
    assert result.code in (0, 2, 3, 4), result
    assert result.err.count("\n") == (result.code != 0) and result.err.startswith("error: " * (result.code != 0))
    return result.code


@FLIPS
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_model_cut_anywhere_is_refused(share: float, tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    place.model.write_bytes(sealed_path.read_bytes()[: int(share * sealed_path.stat().st_size)])
    assert ends(command, place, "verify") == 2
    assert ends(command, place, "info") in (0, 2), "a cut between two entries of the metadata leaves the card whole"


@FLIPS
@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_one_wrong_byte_anywhere_is_no_traceback(share, bits, tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    content = bytearray(sealed_path.read_bytes())
    content[int(share * len(content))] ^= bits
    place.model.write_bytes(content)
    for name in FINE:
        ends(command, place, name)


@FLIPS
@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_one_wrong_byte_in_the_weights_is_broken(share, bits, tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    weights = [tensor.raw_data for tensor in onnx.load(sealed_path).graph.initializer if len(tensor.dims) == 4]
    place.model.write_bytes(_with_flip(sealed_path.read_bytes(), weights, share, bits))
    assert ends(command, place, "info") == 0
    assert ends(command, place, "verify") == 4


def _with_flip(content: bytes, weights: list[bytes], share: float, bits: int) -> bytes:
    place = int(share * sum(map(len, weights)))
    for part in weights:
        if place < len(part):
            at = content.index(part) + place
            return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]
        place -= len(part)
    raise AssertionError("beyond the weights")


@FLIPS
@given(share=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), packed=st.booleans())
def test_one_wrong_byte_in_an_image_is_no_traceback(share, bits, packed, tmp_path, sealed_path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    shutil.rmtree(place.out, ignore_errors=True)  # of the example before
    content = bytearray(place.source.read_bytes() if packed else gzip.decompress(place.source.read_bytes()))
    content[int(share * (len(content) if packed else 400))] ^= bits  # unpacked: the header
    place.source.write_bytes(content)
    result = command(*place.arguments("predict"))
    assert result.code in (0, 2), result
    assert place.out.exists() == (result.code == 0)
    assert result.err.splitlines()[-1:] == [] or result.err.splitlines()[-1].startswith(("error: ", "warning: "))


DAMAGE = {
    "zero bytes": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "nested without end": lambda text: "[" * 10**6,
    "an endless number": lambda text: text.replace('"schema": 1', '"schema": ' + "1" * 5000),
    "no values": lambda text: text.replace('"clinical"', '"chemical"'),
    "images of text": lambda text: text.replace('"images": [', '"images": "x", "others": ['),
    "a flag of a number": lambda text: text.replace('"flags": [', '"flags": [7, '),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_report_is_computed_again(damage: str, tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    assert command(*place.arguments("predict")).code == 0
    before, report = snapshot(place.out), place.out / "heart.json"
    whole = report.read_text()
    report.write_text(DAMAGE[damage](whole))
    assert report.read_text() != whole
    again = command(*place.arguments("predict"), "--resume")
    assert again.code == 0 and "by an earlier run" not in again.out
    assert snapshot(place.out) == before


def test_a_text_in_a_model_cannot_steer_the_terminal(tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    card("licence", "\x1b[2J\x07free\ud800[bold]")(place)
    result = command("info", place.model)
    assert result.code == 0
    assert "\\x1b[2J\\x07free\\ud800[bold]" in result.out and "\x1b" not in result.out


def test_strange_but_honest_names_are_fine(tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    place.source = tmp_path / "images"
    names = ("summary", "up..", "=SUM(A1)", "herz ä", "[bold]")
    for seed, name in enumerate(names):
        write_image(place.source / f"{name}.nii.gz", voxels(seed=seed))
    result = command(*place.arguments("predict"))
    assert result.code == 0, result.err
    results = {f"{name}.{ending}" for name in names for ending in ("nii.gz", "json")}
    assert {path.name for path in place.out.iterdir()} == {*results, "summary.csv"}
    assert "\n'=SUM(A1),segmented" in (place.out / "summary.csv").read_text(), "no formula in a spreadsheet"
    assert [path for path in tmp_path.iterdir() if path.suffix == ".json"] == []
