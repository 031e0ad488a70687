"""Execution providers: what each is called, what it can do, which widths it likes, and why it may be missing.

The proof that one is truly there is in `compress.runtime.proof`, which hands ONNX Runtime to what asks for it here:
help texts and pruning read this table without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from compress.errors import ProviderError
from compress.registry import pick
from compress.runtime.machine import cpu_flags


@dataclass(frozen=True)
class Provider:
    """One execution provider."""

    name: str
    """The short name that users type."""
    ort_name: str
    """ONNX Runtime's name of it."""
    help: str
    """In a few words, where it computes."""
    find_alignment: Callable[[], int]
    cure: str
    """What to do when it is missing."""
    logit_bound: float
    """Largest difference of a logit from torch's in float32 on the CPU that counts as equal, TF32 off.

    Logits that move by at most d move no softmax probability by more than d / 2.
    """
    slices: int = 1
    """Slices that the network sees at a time by default."""
    below_block: int = 0
    """Fewer channels than `alignment` are faster where they are multiples of this; 0: they are not faster."""
    plugin: str = ""
    """Python package that brings the provider as a plugin; "": it is built into ONNX Runtime or it is not."""
    memory: str = ""
    """ONNX Runtime's name of the device whose own memory it computes in; "": the host's, and nothing is copied."""
    has_tf32: bool = False
    """Whether it may round products to 10 bits."""
    quantized: tuple[str, ...] = ("int8",)
    """Kinds of quantized files that can gain on it."""
    int8_transposed: bool = False
    """Whether it computes transposed convolutions on whole numbers as they are; elsewhere they are made plain ones."""
    times_layers: bool = False
    """Whether ONNX Runtime's time of a node is that of its work there, so that latency can be predicted."""
    prepare: Callable[[Any], object] = lambda ort: None
    """Called with the module onnxruntime before a session is created: loads what the provider needs."""
    options: Callable[[bool, int], dict[str, str]] = lambda tf32, threads: {}
    """ONNX Runtime's provider options, given whether TF32 is allowed and how many CPU threads."""
    explain: Callable[[Any], str] = lambda ort: ""
    """Why the provider may be missing, or "", from the module onnxruntime; called only after a failed proof."""

    @property
    def alignment(self) -> int:
        """Channel widths should be multiples of this to be computed at full speed."""
        return self.find_alignment()

    def absent(self, reason: str, ort: Any) -> ProviderError:
        """The error for a requested provider that cannot be used; `reason` comes from ONNX Runtime (`ort`)."""
        because = self.explain(ort) or reason
        return ProviderError(f"The provider '{self.name}' was asked for but is not there: {because}.", cure=self.cure)


def cpu_alignment() -> int:
    """ONNX Runtime's channel block: 16 with AVX-512, else 8; 16, which serves both, where the flags are unknown."""
    flags = cpu_flags()
    return 16 if flags is None or "avx512f" in flags else 8


@cache
def _preload_cuda(ort: Any) -> str:
    """Let ONNX Runtime find CUDA libraries that pip installed; returns what it printed about missing ones."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever is missing is reported by the proof
        ort.preload_dlls()
    return said.getvalue()


def _why_no_cuda(ort: Any) -> str:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return "the installed onnxruntime is built without CUDA"  # as on macOS
    reasons = [] if _has_nvidia_driver() else ["no NVIDIA driver"]
    # Lines such as "Failed to load libcublas.so.13: ..."; a path when pip's copy is damaged.
    lines = [line for line in _preload_cuda(ort).splitlines() if "Failed to load" in line]
    failed = [line.removeprefix("Failed to load ") for line in lines]
    if failed:
        reasons.append("cannot load " + ", ".join(dict.fromkeys(text.split(": ")[0] for text in failed)))
    return ", ".join(reasons)


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _openvino_options(tf32: bool, threads: int) -> dict[str, str]:
    """OpenVINO has threads of its own, and computes in bfloat16 where the processor has AMX unless told not to."""
    asked = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}
    return {"load_config": json.dumps({"CPU": asked})}  # the one option whose faults the plugin does not ignore


PROVIDERS: dict[str, Provider] = {
    "cpu": Provider(
        name="cpu",
        ort_name="CPUExecutionProvider",
        help="any processor",
        find_alignment=cpu_alignment,
        below_block=4,  # its blocked kernels leave out what has fewer channels: time falls with the width again
        cure="Reinstall onnxruntime.",
        logit_bound=1e-3,  # 0.05 points of probability; both sides sum in almost the same order
        times_layers=True,
    ),
    "cuda": Provider(
        name="cuda",
        ort_name="CUDAExecutionProvider",
        help="an NVIDIA GPU",
        find_alignment=lambda: 8,
        cure="Install an NVIDIA driver and 'onnxruntime-gpu[cuda,cudnn]', or choose the provider 'cpu'.",
        slices=16,  # a GPU is idle with one; a CPU is as fast with one as with many, and needs the least memory
        logit_bound=5e-3,  # 0.25 points; Winograd and FFT convolutions round float32 more coarsely
        memory="cuda",
        has_tf32=True,
        quantized=("int8", "fp16"),
        prepare=_preload_cuda,
        options=lambda tf32, threads: {"use_tf32": str(int(tf32))},
        explain=_why_no_cuda,
    ),
    "openvino": Provider(
        name="openvino",
        ort_name="OpenVINOExecutionProvider",
        help="an Intel processor, by a plugin",
        find_alignment=cpu_alignment,  # the channel blocks of oneDNN, which computes its convolutions: 16 or 8
        cure="On an Intel processor `pip install onnxruntime-ep-openvino`, or choose the provider 'cpu'.",
        logit_bound=1e-3,  # as on the CPU: float32 sums in another order
        plugin="onnxruntime_ep_openvino",
        int8_transposed=True,
        options=_openvino_options,
    ),
}
"""To add a provider, add its row: every session then proves it in the same way."""


def find_provider(name: str) -> Provider:
    """The provider's row, or a `ConfigError` that lists the known names."""
    return pick("provider", PROVIDERS, name)
