"""What a run ran on: versions and hardware, without host names or paths."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from compress import __version__
from compress.runtime.machine import available_cores, cpu_model, fast_features

_PACKAGES = ("torch", "numpy", "scipy", "monai", "nibabel", "onnx", "onnxruntime", "onnxruntime-gpu")


def describe_environment() -> dict[str, Any]:
    """Plain JSON: package versions, Python, CPU features, cores and CUDA devices."""
    return {
        "cardiocompress": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "cpu": cpu_model(),
        "cpu_cores": available_cores(),
        "cpu_features": fast_features(),
        "torch_threads": torch.get_num_threads(),
        "cuda_devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
