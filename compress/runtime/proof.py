"""Proving that an execution provider computes, instead of believing that it does.

ONNX Runtime lists CUDA as available on machines without a GPU, and a session that asks for it
there silently computes on the CPU. So a session counts only when the provider was the only one
asked, falling back was forbidden, it owns every node, and the graph ran once.
"""

from __future__ import annotations

import base64
import contextlib
import math
import zlib
from collections.abc import Iterator

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state  # pyright: ignore[reportAttributeAccessIssue]

from compress.errors import ModelFileError
from compress.runtime.machine import available_cores
from compress.runtime.placement import Placement, read_placement
from compress.runtime.plugins import PluginMissing, plugin_device
from compress.runtime.providers import PROVIDERS, Provider, find_provider

ORT_ERRORS: tuple[type[Exception], ...] = (
    *(v for v in vars(_state).values() if isinstance(v, type) and issubclass(v, Exception)),
    RuntimeError,
    ValueError,
)
"""What ONNX Runtime raises: its own types share no base below `Exception`."""

MAX_VALUES = 2**26
"""Largest image batch that a model is tried on, 256 MiB; a forged one may fix any size."""

_BAD_FILE = (_state.InvalidProtobuf, _state.InvalidGraph, _state.NoSuchFile, _state.NoModel)


_TINY_MODEL = zlib.decompress(
    base64.b64decode(
        "eNrj4LLaxcxlwMWamZuYnsrFVp6amZ5RIsSWk5+eWVKsxOKcn1emJcjFUpCYUuzACIELGNmFWAuK8vPTtLYycXBwMHIwczALMDpB"
        "NXstYGJgaLAfxbhxlBI0wIUkucQ5GIWEuZiFGPO4mDgYQYwMEFGepMwFjQV0RRwIRU4sXAwCIgBuf1Vr"
    )
)
"""image (N, 1, H, W) -> logits (N, 8, H, W) through one 3x3 convolution of ones; a test shows how it is made."""


def prove(provider: str) -> None:
    """Run a one-convolution network on the provider. Raises `ProviderError` with the cure, or `ConfigError`.

    Long runs call this first, so that they do not fail at their last step.
    """
    row = find_provider(provider)
    session, _ = create(_TINY_MODEL, row, ort.SessionOptions(), tf32=False)
    run_once(session, row, side=8)


def create(
    model: bytes, provider: Provider, options: ort.SessionOptions, *, tf32: bool, name: str = "its own proof model"
) -> tuple[ort.InferenceSession, Placement]:
    """A session on `provider` alone, and its graph nodes, all seen to be its own (None when not told).

    `model` is an ONNX file's bytes, `name` what errors call it. Raises `ProviderError` when the provider is not there,
    `ModelFileError` when the file is damaged or the CPU cannot build it.
    """
    options.log_severity_level = 4  # everything it would log is raised below
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    on_cpu = provider is PROVIDERS["cpu"]
    if not on_cpu:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    wanted = _ask(provider, options, tf32)
    try:
        with quiet_ort():
            session = ort.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    except ORT_ERRORS as fault:
        if not on_cpu and not isinstance(fault, _BAD_FILE):
            raise provider.absent(_reason(fault), ort) from fault
        truncated = isinstance(fault, _state.InvalidProtobuf)
        reason = "it is not an ONNX file, or it is truncated" if truncated else _reason(fault)
        raise ModelFileError(
            f"ONNX Runtime {ort.__version__} cannot open {name}: {reason}.", cure="Export the model again."
        ) from fault
    return session, assert_owner(session, provider)


def _ask(provider: Provider, options: ort.SessionOptions, tf32: bool) -> list[tuple[str, dict[str, str]]] | None:
    """Ask for `provider` and no other: by name, or a plugin by its device, which goes into `options` (then None).

    Raises `ProviderError` when it is not even offered.
    """
    asked = provider.options(tf32, options.intra_op_num_threads or available_cores())
    if not provider.plugin:
        if provider.ort_name not in ort.get_available_providers():
            raise provider.absent(f"the installed onnxruntime is built without {provider.ort_name}", ort)
        provider.prepare(ort)
        return [(provider.ort_name, asked)]
    try:
        options.add_provider_for_devices([plugin_device(provider.plugin, provider.ort_name)], asked)
    except PluginMissing as fault:
        raise provider.absent(str(fault), ort) from fault
    return None


def assert_owner(session: ort.InferenceSession, provider: Provider) -> Placement:
    """Check that the provider leads the session and owns every node; returns the nodes.

    Raises `ProviderError`.
    """
    first = next(iter(session.get_providers()), "nothing")
    if first != provider.ort_name:
        raise provider.absent(f"the session runs on {first}", ort)
    placement = read_placement(session)
    strangers = sorted({node.provider for node in placement if node.provider != provider.name})
    if strangers:
        raise provider.absent(f"part of the graph runs on {', '.join(strangers)}", ort)
    return placement


def run_once(session: ort.InferenceSession, provider: Provider, *, side: int) -> None:
    """Run one black image of side x side pixels, or of the size that the model fixes.

    A missing cuDNN shows only at the first convolution. Raises `ProviderError` or, on the CPU, `ModelFileError`.
    """
    entry = session.get_inputs()[0]
    sizes = [
        size if isinstance(size, int) else free for size, free in zip(entry.shape, (1, 1, side, side), strict=True)
    ]
    if math.prod(sizes) > MAX_VALUES:
        raise ModelFileError(
            f"The model takes image batches of {sizes} alone; at most {MAX_VALUES} values are tried.",
            cure="Export the model again.",
        )
    try:
        with quiet_ort():
            session.run(None, {entry.name: np.zeros(sizes, np.float32)})
    except ORT_ERRORS as fault:
        if provider is not PROVIDERS["cpu"]:
            raise provider.absent(_reason(fault), ort) from fault
        raise ModelFileError(
            f"The model fails on an image batch of {sizes}: {_reason(fault)}.", cure="Export the model again."
        ) from fault


@contextlib.contextmanager
def quiet_ort() -> Iterator[None]:
    """Keep ONNX Runtime's C++ log off stderr where every failure is raised instead."""
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        ort.set_default_logger_severity(2)  # its own default; there is no way to read the one before


def _reason(fault: BaseException) -> str:
    """ONNX Runtime's message in one line, without its "[ONNXRuntimeError] : 1 : FAIL :" and full stop."""
    text = " ".join(str(fault).split()) or type(fault).__name__
    return text.rsplit("[ONNXRuntimeError] : ", 1)[-1].split(" : ", 2)[-1].rstrip(". ")
