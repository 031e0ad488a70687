from __future__ import annotations

import os
from pathlib import Path

import pytest

from compress.runtime import providers
from compress.runtime.machine import available_cores, cpu_flags, cpu_model
from compress.runtime.providers import cpu_alignment


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 8),
        # the tightest of the enclosing groups counts
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/step/cpu.max": "max 100000\n",
                "sys/fs/cgroup/job/cpu.max": "300000 100000\n",
            },
            3,
        ),
        # version 1
        (
            {
                "proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "what"}, 8),
    ],
)
def test_cores_follow_the_quota_and_not_the_host(files: dict[str, str], cores: int, tmp_path: Path) -> None:
    assert available_cores(_write(tmp_path, files)) == cores


def test_cpu_name_and_flags_come_from_cpuinfo(tmp_path: Path) -> None:
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse2 avx2 avx512f\n"
    root = _write(tmp_path, {"proc/cpuinfo": text})
    assert cpu_model(root) == "Some CPU @ 2 GHz"
    assert cpu_flags(root) == {"sse2", "avx2", "avx512f"}


def test_unknown_machine_is_not_an_error(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path) is None
    assert cpu_model(tmp_path)


@pytest.mark.parametrize(("flags", "alignment"), [({"avx2", "avx512f"}, 16), ({"avx2"}, 8), (None, 16)])
def test_cpu_alignment_follows_the_vector_width(
    flags: set[str] | None, alignment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "cpu_flags", lambda: flags)
    assert cpu_alignment() == providers.PROVIDERS["cpu"].alignment == alignment
    assert providers.PROVIDERS["cuda"].alignment == 8
