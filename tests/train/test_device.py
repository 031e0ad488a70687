"""Devices, bfloat16 and determinism."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from compress.errors import EnvironmentFault
from compress.train import device as device_module
from compress.train.device import make_deterministic, resolve_device, use_bf16

CPU = torch.device("cpu")


@pytest.fixture
def restored_determinism() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.backends.cudnn.deterministic = cudnn


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_is_never_replaced_silently(name: str):
    with pytest.raises(EnvironmentFault, match=rf"is '{name}', but torch sees 0 CUDA device\(s\)\..*device=cpu"):
        resolve_device(name)


def test_a_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("auto") == torch.device("cuda")
    with pytest.raises(EnvironmentFault, match="cuda:2"):
        resolve_device("cuda:2")


def test_auto_takes_what_there_is():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("choice", "flags", "expected"),
    [
        ("bf16", set(), True),
        ("fp32", {"amx_bf16"}, False),
        ("auto", {"amx_bf16", "sse2"}, True),
        ("auto", {"avx512_bf16"}, True),
        ("auto", {"avx2"}, False),
        ("auto", None, False),
    ],
)
def test_bfloat16_is_used_where_it_pays(
    choice: str, flags: set[str] | None, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(device_module, "cpu_flags", lambda: flags)
    assert use_bf16(choice, CPU) is expected


@pytest.mark.usefixtures("restored_determinism")
def test_determinism_is_switched_on():
    torch.use_deterministic_algorithms(False)
    make_deterministic(CPU)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
