"""Which software computed: what every trace and verdict states."""

from __future__ import annotations

import platform

import nibabel
import numpy
import onnxruntime

from compress import __version__


def versions() -> dict[str, str]:
    """Package name -> version of everything that touches a voxel."""
    return {
        "cardiocompress": __version__,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "numpy": numpy.__version__,
        "nibabel": nibabel.__version__,
    }
