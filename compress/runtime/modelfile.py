"""Reading an ONNX file with suspicion: without torch, without the onnx package, without building a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compress.errors import ModelFileError
from compress.files import digest_bytes
from compress.outside import read_bytes
from compress.runtime.wire import Outline, WireError, read_outline

MAX_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""

MAX_DIVISOR = 1024
"""Ten poolings; a forged rule must not ask for images that fill the memory."""

_CURE = "Export the model again."
_CONTROL_FLOW = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class ModelFile:
    """What one self-contained ONNX file says of itself, and its digests."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    """The digest of the whole file."""
    graph_sha256: str
    """The digest of the graph alone, weights included: unchanged when only metadata changes."""
    metadata: dict[str, str]
    opset: int
    """Version of ONNX's own operators; 0 when it uses none."""
    operators: dict[str, int]
    """Operator -> number of nodes."""
    nested: int = 0
    """Graphs inside nodes, and functions."""
    content: bytes = field(default=b"", repr=False, compare=False)
    """The very bytes that all of this was read from, to be run; empty once a session has them."""


def read_model_file(path: Path) -> ModelFile:
    """Look at one ONNX file; external data is never followed.

    Raises `ModelFileError` when the file is missing, empty, truncated, not ONNX, or keeps its
    weights in other files.
    """
    path = Path(path)
    content = _read(path)
    outline = _outline(content, path)
    return ModelFile(
        path=path,
        size=len(content),
        sha256=digest_bytes(content),
        graph_sha256=digest_bytes(outline.graph),
        metadata=outline.metadata,
        opset=outline.opsets.get("", 0),
        operators=dict(sorted(outline.operators.items())),
        nested=outline.nested,
        content=content,
    )


def read_metadata(path: Path) -> dict[str, str]:
    """The file's `metadata_props` by key. Raises `ModelFileError` as `read_model_file` does."""
    return read_model_file(path).metadata


def read_divisor(metadata: Mapping[str, str], path: Path) -> int | None:
    """What image height and width must be multiples of, from the key "divisor"; None when it is absent."""
    text = metadata.get("divisor")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_DIVISOR:
        raise ModelFileError(
            f"{path} says divisor '{text[:40]}'; a positive whole number is needed, {MAX_DIVISOR} at most.", cure=_CURE
        )
    return int(text)


def refuse_control_flow(model: ModelFile) -> None:
    """Raise `ModelFileError` for loops, branches and functions of its own.

    A segmentation network has none, and a forged file may never end: ONNX Runtime writes out functions that call
    each other before anything runs.
    """
    found = [name for name in _CONTROL_FLOW if name in model.operators]
    if found or model.nested:
        what = ", ".join(found) or "graphs inside nodes, or functions of its own"
        raise ModelFileError(
            f"{model.path} uses {what}; a network that segments images has no control flow.", cure=_CURE
        )


def _outline(content: bytes, path: Path) -> Outline:
    try:
        outline = read_outline(memoryview(content))
    except WireError as fault:
        raise ModelFileError(f"{path} is not an ONNX file, or it is truncated ({fault}).", cure=_CURE) from None
    if not outline.ir_version or not outline.opsets or not outline.operators or not outline.outputs:
        raise ModelFileError(f"{path} holds no complete ONNX graph.", cure=_CURE)
    if outline.external:
        raise ModelFileError(
            f"{path} keeps {outline.external} tensor(s) in other files; only self-contained models are opened.",
            cure="Save it with the weights inside (onnx.save_model with save_as_external_data=False).",
        )
    return outline


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise OSError(2, _what_instead(path))
        if path.stat().st_size > MAX_BYTES:
            raise OSError(27, f"{path.stat().st_size} bytes are more than protobuf allows")
        content = read_bytes(path, most=MAX_BYTES, what="the ONNX file", named=True, fault=ModelFileError)
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise ModelFileError(f"Cannot read the ONNX file {path}: {reason}.", cure="Check the path.") from None
    if not content:
        raise ModelFileError(f"{path} is empty (0 bytes).", cure=_CURE)
    return content


def _what_instead(path: Path) -> str:
    """Pipes and devices are refused: reading them may never end."""
    if path.is_dir():
        return "it is a folder"
    return "it is no regular file" if path.exists() else "no such file"
