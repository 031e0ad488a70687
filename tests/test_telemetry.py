"""ONNX Runtime's telemetry is off, whatever is imported first."""

from __future__ import annotations

import os
import subprocess
import sys


def _run(code: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)


def test_it_is_switched_off_before_it_can_be_imported() -> None:
    assert _run("import compress, os; print(os.environ['ORT_DISABLE_TELEMETRY'])").stdout == "1\n"


def test_a_program_that_imported_it_first_is_warned() -> None:
    said = _run(
        "import sys, types\n"
        "calls = []\n"
        "fake = types.ModuleType('onnxruntime'); fake.disable_telemetry_events = lambda: calls.append('off')\n"
        "sys.modules['onnxruntime'] = fake\n"
        "import compress\nprint(calls)"
    )
    assert "['off']" in said.stdout and "onnxruntime was imported before compress" in said.stderr
