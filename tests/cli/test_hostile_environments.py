"""Machines that lack something or say nonsense: one line, the right exit code, soon, and nothing left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hostile_environments import ENVIRONMENTS, Machine
from hostile_kit import make_place, snapshot
from limits_kit import no_longer_than


@pytest.mark.parametrize("row", ENVIRONMENTS)
def test_a_hostile_machine(row: str, tmp_path: Path, sealed_path: Path, command, monkeypatch) -> None:
    change, words, code, says = ENVIRONMENTS[row]
    make_place(tmp_path, sealed_path)
    (tmp_path / "good.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    machine = Machine(tmp_path, monkeypatch)
    with machine.undo:
        change(machine)
        before = snapshot(tmp_path)
        with no_longer_than(20), machine.limited():
            result = command(*words)
        assert snapshot(tmp_path) == before, "nothing is left"
    monkeypatch.undo()
    assert result.code == code and says in result.err, result
    *warnings, error = result.err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings), result
    assert error.startswith("error: ") and error.isprintable() and len(error) <= 4004, result


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_get_nothing(closed: tuple[int, ...]) -> None:
    """Else the first file that is opened would get what is printed."""
    close = f"import os; [os.close(n) for n in {closed}]; os.execv({sys.executable!r}, "
    words = [sys.executable, "-m", "cli", "explain", "case"]
    done = subprocess.run([sys.executable, "-c", f"{close}{words})"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("One volume" in done.stdout) == (1 not in closed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_output_to_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "cli", "explain", "case"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3 and done.stderr.startswith("error: No space left on device"), done.stderr
    assert done.stderr.count("\n") == 1
