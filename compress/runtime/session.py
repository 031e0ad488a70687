"""One ONNX model, opened on a provider that was proven to compute it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from compress.errors import ConfigError, DataError, EnvironmentFault, ModelFileError
from compress.registry import pick
from compress.runtime.machine import available_cores
from compress.runtime.modelfile import ModelFile, read_divisor, read_model_file, refuse_control_flow
from compress.runtime.placement import Placement
from compress.runtime.proof import ORT_ERRORS, create, run_once
from compress.runtime.providers import Provider, find_provider

SPINNING: dict[str, dict[str, str]] = {
    "on": {},
    "per-run": {"session.force_spinning_stop": "1"},
    "off": {"session.intra_op.allow_spinning": "0"},
}
"""What idle threads do: wait actively (ONNX Runtime's default), only while a run lasts, or never.

"per-run" keeps one session's threads from slowing the next when several are timed in turn.
"""


@dataclass(frozen=True)
class Session:
    """An opened model. Build it with `open_session`."""

    file: ModelFile
    """What the file says of itself, and its digests."""
    provider_asked: str
    provider_proven: str
    """The provider that owns every node and ran the model once; equal to the one asked, or opening raised."""
    divisor: int | None
    """Image height and width must be multiples of this; None when the file does not tell."""
    channels: int
    """Input channels."""
    details: dict[str, Any]
    """ONNX Runtime version and build, threads, spinning, TF32 as asked and as set (None where there is none) and the
    provider's options as ONNX Runtime tells them."""
    inner: ort.InferenceSession = field(repr=False)
    placement: Placement = field(default=(), repr=False)
    """Every node with its provider; None when this ONNX Runtime does not tell."""

    @property
    def path(self) -> Path:
        """Where the model lies."""
        return self.file.path

    @property
    def metadata(self) -> dict[str, str]:
        """The file's `metadata_props`."""
        return self.file.metadata

    def run(self, images: np.ndarray) -> np.ndarray:
        """images (N, C, H, W) float32 -> logits (N, classes, H, W) float32.

        Raises `DataError` when the images do not fit, `EnvironmentFault` when the run itself fails.
        """
        self._check(images)
        try:
            (logits,) = self.inner.run(["logits"], {"image": np.ascontiguousarray(images)})
        except ORT_ERRORS as fault:
            raise EnvironmentFault(
                f"{self.path.name} failed on {images.shape} images: {' '.join(str(fault).split())}.",
                cure="Use a smaller batch if memory is short.",
            ) from fault
        return np.asarray(logits)

    def _check(self, images: np.ndarray) -> None:
        got = f"{type(images).__name__}" if not isinstance(images, np.ndarray) else f"{images.shape} {images.dtype}"
        if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype != np.float32:
            raise DataError(
                f"Expected images (N, {self.channels}, H, W) float32, got {got}.",
                cure="Stack 2D slices along the first axis and convert them with astype('float32').",
            )
        if images.size == 0 or images.shape[1] != self.channels:
            raise DataError(f"Expected at least one image of {self.channels} channel(s), got {got}.")
        height, width = images.shape[2:]
        if self.divisor and (height % self.divisor or width % self.divisor):
            up = [-(-side // self.divisor) * self.divisor for side in (height, width)]
            raise DataError(
                f"Image size {height}x{width} does not fit {self.path.name}: both must be multiples of {self.divisor}.",
                cure=f"Pad to {up[0]}x{up[1]}.",
            )


def open_session(
    model: Path | ModelFile,
    *,
    provider: str = "cpu",
    threads: int | None = None,
    spinning: str = "on",
    tf32: bool = False,
    profile: Path | None = None,
) -> Session:
    """Open an exported model on `provider` ("cpu", "cuda", "openvino") and prove that this provider computes it.

    `model` is a path, or what `read_model_file` found at it.
    `threads` defaults to the cores that this process may use. `tf32` lets CUDA round products to 10
    bits, faster and less exact. With `profile` ONNX Runtime times every node of every run, and
    `inner.end_profiling()` writes them to a JSON file whose path begins with it. Raises `ConfigError`
    for unknown names, `ModelFileError` for a bad file and `ProviderError` when the provider is not
    truly there: never another one in its place.
    """
    row = find_provider(provider)
    options = _options(threads, spinning)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    file = model if isinstance(model, ModelFile) else read_model_file(Path(model))
    refuse_control_flow(file)  # before anything runs: ONNX Runtime writes functions out, and this runs the graph once
    path = file.path
    inner, placement = create(_checked_bytes(file), row, options, tf32=tf32, name=str(path))
    channels = _input_channels(inner, path)
    divisor = read_divisor(file.metadata, path)
    run_once(inner, row, side=divisor or 32)
    details = {**_settings(inner, row, options, tf32), "spinning": spinning}
    return Session(replace(file, content=b""), provider, row.name, divisor, channels, details, inner, placement)


def _checked_bytes(file: ModelFile) -> bytes:
    """The bytes that were checked, not the path again: another file may lie there by now."""
    if file.content:
        return file.content
    again = read_model_file(file.path)
    if again.sha256 != file.sha256:
        raise ModelFileError(f"{file.path} has changed since it was read.", cure="Start again.")
    return again.content


def _settings(inner: ort.InferenceSession, row: Provider, options: ort.SessionOptions, tf32: bool) -> dict[str, Any]:
    """How the session was opened, and what ONNX Runtime says that it made of it."""
    told = dict(inner.get_provider_options().get(row.ort_name, {}))
    return {
        "onnxruntime": ort.__version__,
        "build": ort.get_build_info(),
        "threads": options.intra_op_num_threads,
        "inter_threads": options.inter_op_num_threads,
        "tf32": tf32 if row.has_tf32 else None,
        "tf32_set": {"1": True, "0": False}.get(told.get("use_tf32", "")),
        "provider_options": told,
    }


def _options(threads: int | None, spinning: str) -> ort.SessionOptions:
    if threads is not None and threads < 1:
        raise ConfigError(f"threads is {threads}; a positive whole number is needed.", cure="Leave it out: all cores.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    for key, value in pick("spinning", SPINNING, spinning).items():
        options.add_session_config_entry(key, value)
    return options


def _input_channels(inner: ort.InferenceSession, path: Path) -> int:
    """The channel count of the one input "image"; `ModelFileError` when the model's ends are not ours."""
    try:
        ends = [(end.name, end.type, len(end.shape)) for end in (*inner.get_inputs(), *inner.get_outputs())]
    except UnicodeDecodeError:
        raise ModelFileError(f"{path} names its inputs or outputs in no UTF-8.", cure="Export it again.") from None
    wanted = [("image", "tensor(float)", 4), ("logits", "tensor(float)", 4)]
    if ends != wanted or not isinstance(inner.get_inputs()[0].shape[1], int):
        raise ModelFileError(
            f"{path} maps {ends}; expected 'image' (N, C, H, W) float32 -> 'logits' (N, classes, H, W) float32.",
            cure="Export the network with this toolchain.",
        )
    return inner.get_inputs()[0].shape[1]
