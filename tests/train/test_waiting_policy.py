"""benchmarks/waiting_policy.py: real worker processes on a tiny network, and what its table concludes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import waiting_policy as bench  # pyright: ignore[reportMissingImports]


def test_a_worker_times_the_steps_that_it_was_asked_for():
    words = ["--worker", "fp32", "--steps", "2", "--features", "4", "--size", "8", "--batch", "2", "--threads", "1"]
    done = subprocess.run([sys.executable, bench.__file__, *words], capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout)
    assert len(seconds) == 2 and min(seconds) > 0


@pytest.mark.parametrize(("beside", "verdict"), [(3.9, ": held."), (4.1, ": NOT held.")])
def test_the_table_compares_medians(beside, verdict):
    found = {
        ("fp32", bench.DEFAULT, False): [1.0, 1.0, 9.0],
        ("fp32", bench.DEFAULT, True): [12.0],
        ("fp32", bench.PASSIVE, False): [1.0, 1.25, 1.5],
        ("fp32", bench.PASSIVE, True): [1.25 * beside],
    }
    text = bench.table(found, 2)
    assert "| fp32 | default | 1000 ms | 12000 ms | 12.0 | 3 + 1 |" in text
    assert "takes 1.250 times the default's time alone" in text and verdict in text


def test_only_the_policy_differs_and_busy_loops_end(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    default, passive = (bench.environment(policy, 2) for policy in (bench.DEFAULT, bench.PASSIVE))
    assert "OMP_WAIT_POLICY" not in default
    assert {**default, "OMP_WAIT_POLICY": "PASSIVE"} == passive
    started = []
    start = subprocess.Popen
    monkeypatch.setattr(bench.subprocess, "Popen", lambda *words: started.append(start(*words)) or started[-1])
    with bench.busy(2):
        assert [loop.poll() for loop in started] == [None, None]
    assert all(loop.poll() is not None for loop in started)
