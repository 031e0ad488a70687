"""Which device to train on, and whether bfloat16 pays there."""

from __future__ import annotations

import os

import torch

from compress.errors import EnvironmentFault
from compress.runtime.machine import cpu_flags


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:N"; `EnvironmentFault` when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise EnvironmentFault(
            f"experiment.device is '{name}', but torch sees {torch.cuda.device_count()} CUDA device(s).",
            cure="Install a CUDA build of torch and its driver, or use --set experiment.device=cpu.",
        )
    return device


def use_bf16(choice: str, device: torch.device) -> bool:
    """Whether to train under bfloat16 autocast: "bf16" always, "fp32" never, "auto" where it is fast."""
    if choice != "auto":
        return choice == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool({"avx512_bf16", "amx_bf16"} & (cpu_flags() or set()))


def make_deterministic(device: torch.device) -> None:
    """Ask torch for the same bits every time: a resumed run must equal an uninterrupted one."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
