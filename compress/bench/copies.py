"""Runs whose input and output already lie in the memory that the provider computes in: latency without copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from compress.runtime.providers import find_provider
from compress.runtime.session import Session

Run = Callable[[], object]


def without_copies(session: Session, images: np.ndarray) -> Run | None:
    """A run on images (N, C, H, W) float32 that are put on the device once, here.

    None where the provider computes in the host's memory: there nothing is copied, and no second figure exists.
    """
    memory = find_provider(session.provider_proven).memory
    return bound_run(session, images, memory)[0] if memory else None


def bound_run(session: Session, images: np.ndarray, memory: str) -> tuple[Run, ort.OrtValue]:
    """A run, and the logits that it writes, on ONNX Runtime's device `memory` ("cuda"; "cpu" for tests).

    It returns when the device has finished. Raises what `Session.run` raises.
    """
    shape = session.run(images).shape
    source = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images), memory, 0)
    logits = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, memory, 0)
    binding = session.inner.io_binding()
    binding.bind_ortvalue_input("image", source)
    binding.bind_ortvalue_output("logits", logits)

    def run() -> None:
        session.inner.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run, logits
