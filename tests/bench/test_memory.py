from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compress.bench import memory_probe
from compress.bench.memory import measure_memory
from compress.errors import DataError, EnvironmentFault, ModelFileError, ProviderError
from compress.runtime.proof import prove

linux = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is read from Linux's /proc")


@linux
def test_a_larger_batch_takes_more_memory(tiny_path: Path) -> None:
    small, large = (measure_memory(tiny_path, shape=(n, 1, 256, 256), threads=1, runs=1) for n in (1, 32))
    assert small.peak_bytes is not None and large.peak_bytes is not None and small.imports_bytes is not None
    assert small.imports_bytes < small.peak_bytes < large.peak_bytes
    assert large.peak_bytes - small.peak_bytes > 31 * 256 * 256 * 4  # at least the images themselves
    assert small.gpu_bytes is None
    assert small.warnings == ()


def test_errors_of_the_child_are_raised_here(tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Pad to 8x8") as caught:
        measure_memory(tiny_path, shape=(1, 1, 7, 8))
    assert caught.value.cure == "Pad to 8x8."
    with pytest.raises(ModelFileError, match="Cannot read"):
        measure_memory(tmp_path / "absent.onnx", shape=(1, 1, 8, 8))


def test_cuda_without_a_gpu_gives_no_host_figure(tiny_path: Path) -> None:
    try:
        prove("cuda")
    except ProviderError:
        with pytest.raises(ProviderError, match="'cuda' was asked for but is not there"):
            measure_memory(tiny_path, shape=(1, 1, 8, 8), provider="cuda")
    else:
        found = measure_memory(tiny_path, shape=(1, 1, 8, 8), provider="cuda")
        assert found.gpu_bytes or "GPU memory was not measured" in found.warnings[0]


def test_a_dead_or_slow_child_is_an_error(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match=r"took over 0.001 s"):
        measure_memory(tiny_path, shape=(1, 1, 8, 8), timeout=0.001)
    killed = subprocess.CompletedProcess([], returncode=-9, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(EnvironmentFault, match=r"ended with -9 .*use a smaller batch"):
        measure_memory(tiny_path, shape=(1, 1, 8, 8))


def test_without_proc_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert memory_probe.status_bytes("VmHWM") is None


def test_no_module_of_the_current_folder_runs(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "numpy", "sitecustomize", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert measure_memory(tiny_path, shape=(1, 1, 32, 32)).imports_bytes is not None
    assert not (tmp_path / "ran").exists()
