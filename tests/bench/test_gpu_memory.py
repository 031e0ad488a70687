"""GPU memory from made-up answers of the driver, and for real what is said where there is no driver."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from compress.bench import memory
from compress.bench.gpu_memory import MemoryUnknown, parse_smi, process_bytes
from compress.bench.memory import measure_memory

NO_DRIVER = shutil.which("nvidia-smi") is None
MIB = 2**20


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_lines_of_one_process_are_added_over_the_gpus() -> None:
    text = "17, 300\n4242, 512\n4242, 88\n\n"
    assert parse_smi(text, 4242) == 600 * MIB
    assert parse_smi(text, 17) == 300 * MIB


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lists no such process"),
        ("17, 300\n", "lists no such process"),
        ("4242, [N/A]\n", "does not tell memory by process"),
        ("4242, 5\n4242, [Not Supported]\n", "does not tell memory by process"),
        ("No devices were found\n", "answered 'No devices were found'"),
    ],
)
def test_an_answer_without_the_figure_is_no_figure(text: str, reason: str) -> None:
    with pytest.raises(MemoryUnknown, match=reason):
        parse_smi(text, 4242)


@pytest.mark.usefixtures("no_nvml")
def test_the_command_is_asked_and_its_failure_told() -> None:
    said = [sys.executable, "-c", "print('4242, 7')"]
    assert process_bytes(4242, command=said) == 7 * MIB
    failing = [sys.executable, "-c", "import sys; print('NVIDIA-SMI has failed'); sys.exit(9)"]
    with pytest.raises(MemoryUnknown, match=r"ended with 9 \(NVIDIA-SMI has failed\)"):
        process_bytes(4242, command=failing)
    with pytest.raises(MemoryUnknown, match="neither the package nvidia-ml-py nor no-such-tool is installed"):
        process_bytes(4242, command=["no-such-tool"])


def test_a_driver_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch, no_nvml: None) -> None:
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **more: run(command, **{**more, "timeout": 0.01}))
    with pytest.raises(MemoryUnknown, match="TimeoutExpired"):
        process_bytes(1, command=[sys.executable, "-c", "import time; time.sleep(9)"])


class _NVMLError(Exception):
    pass


def _nvml(monkeypatch: pytest.MonkeyPatch, rows: list[list[tuple[int, int | None]]]) -> ModuleType:
    module = ModuleType("pynvml")
    made = [[SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in gpu] for gpu in rows]
    vars(module).update(
        NVMLError=_NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(made),
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: made[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_nvml_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    module = _nvml(monkeypatch, [[(5, 100), (6, 200)], [(5, 11)], []])
    assert process_bytes(5, command=["no-such-tool"]) == 111
    _nvml(monkeypatch, [[(5, None)]])
    with pytest.raises(MemoryUnknown, match="does not tell memory by process"):
        process_bytes(5)

    def fail() -> None:
        raise module.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(_nvml(monkeypatch, []), "nvmlInit", fail)
    with pytest.raises(MemoryUnknown, match=r"NVML failed \(Driver Not Loaded\)"):
        process_bytes(5)


@pytest.mark.skipif(not NO_DRIVER, reason="nvidia-smi is installed")
@pytest.mark.usefixtures("no_nvml")
def test_without_a_driver_there_is_no_figure_but_a_reason() -> None:
    with pytest.raises(MemoryUnknown, match="neither the package nvidia-ml-py nor nvidia-smi is installed"):
        process_bytes(1)


def test_what_the_child_could_not_read_becomes_a_warning(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"peak_bytes": 1, "imports_bytes": 1, "gpu_bytes": None, "gpu_unknown": "no driver"}
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, json.dumps(answer), ""))
    found = measure_memory(tiny_path, shape=(1, 1, 8, 8), provider="cuda")
    assert found == memory.MemoryReport(1, 1, None, ("GPU memory was not measured: no driver.",))
