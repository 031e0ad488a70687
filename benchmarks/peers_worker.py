"""One engine with one network in a process of its own, for benchmarks/peers.py.

    python peers_worker.py ENGINE FILE THREADS N C H W

Says {"ready": ...} or {"absent": why} as one JSON line, then answers every line it reads with the seconds of one run,
and the end of its input with {"peak_bytes": ...}. Nothing spins while it waits for the next line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
"""images (N, C, H, W) float32 -> logits."""


class Absent(Exception):
    """Why the engine is not here."""


def torch_eager(path: Path, threads: int, *, channels_last: bool = False, compiled: bool = False) -> Run:
    """Plain torch in float32: the network of a checkpoint in inference mode."""
    import torch

    from compress.models.checkpoint import load

    torch.set_num_threads(threads)
    network: Any = load(path).network.eval()
    order = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=order)
    network = torch.compile(network) if compiled else network

    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images).to(memory_format=order)).numpy()

    return run


def torch_channels_last(path: Path, threads: int) -> Run:
    return torch_eager(path, threads, channels_last=True)


def torch_compiled(path: Path, threads: int) -> Run:
    return torch_eager(path, threads, compiled=True)


def onnxruntime_cpu(path: Path, threads: int) -> Run:
    return _session(path, threads, "cpu")


def onnxruntime_openvino(path: Path, threads: int) -> Run:
    """ONNX Runtime with OpenVINO's plugin: Intel processors only."""
    return _session(path, threads, "openvino")


def _session(path: Path, threads: int, provider: str) -> Run:
    from compress.errors import ProviderError
    from compress.runtime.session import open_session

    try:
        return open_session(path, provider=provider, threads=threads, spinning="per-run").run
    except ProviderError as fault:
        raise Absent(fault.message.partition(" is not there: ")[2].rstrip(".") or fault.message) from None


def openvino(path: Path, threads: int) -> Run:
    """OpenVINO's own runtime, reading the ONNX file itself, on any x86 processor."""
    try:
        import openvino as ov  # pyright: ignore[reportMissingImports] (of another environment)
    except ImportError:
        raise Absent("the package openvino is not installed") from None
    asked = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(str(path), "CPU", asked).create_infer_request()
    return lambda images: np.array(request.infer({0: images})[0])


ENGINES: dict[str, Callable[[Path, int], Run]] = {
    "torch": torch_eager,
    "torch, channels_last": torch_channels_last,
    "torch.compile": torch_compiled,
    "ONNX Runtime": onnxruntime_cpu,
    "ONNX Runtime with OpenVINO": onnxruntime_openvino,
    "OpenVINO": openvino,
}


def peak_bytes() -> int | None:
    """VmHWM of this process; None off Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


def main(engine: str, file: str, threads: str, *shape: str) -> None:
    images = np.random.default_rng(0).standard_normal(tuple(map(int, shape))).astype(np.float32)
    try:
        run = ENGINES[engine](Path(file), int(threads))
    except Absent as why:
        return say({"absent": str(why)})
    say({"ready": float(np.abs(run(images)).mean(dtype=np.float64))})
    for _ in sys.stdin:
        start = time.perf_counter()
        run(images)
        say(time.perf_counter() - start)
    say({"peak_bytes": peak_bytes()})


if __name__ == "__main__":
    main(*sys.argv[1:])
