"""Reading an ONNX file with suspicion, without torch and without building a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from compress.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

_CURE = "Export the model again."


def load_model(path: Path) -> onnx.ModelProto:
    """Parse one self-contained ONNX file; external data is never followed.

    Raises `ModelFileError` when the file is missing, empty, truncated, not ONNX, or keeps its
    weights in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(_read_bytes(Path(path)))
    except DecodeError:
        raise ModelFileError(f"{path} is not an ONNX file, or it is truncated.", cure=_CURE) from None
    if not model.ir_version or not model.opset_import or not model.graph.node or not model.graph.output:
        raise ModelFileError(f"{path} holds no complete ONNX graph.", cure=_CURE)
    outside = sum(t.data_location == onnx.TensorProto.EXTERNAL for t in _tensors(model))
    if outside:
        raise ModelFileError(
            f"{path} keeps {outside} tensor(s) in other files; only self-contained models are opened.",
            cure="Save it with the weights inside (onnx.save_model with save_as_external_data=False).",
        )
    return model


def refuse_external_data(path: Path) -> None:
    """Raise `ModelFileError` when the file is missing, empty, or keeps weights in other files.

    Costs no memory on a file without external data: such data needs the word "location" in the
    file, so only a file that has it is parsed.
    """
    if _contains(Path(path), b"location"):
        load_model(path)


def read_metadata(path: Path) -> dict[str, str]:
    """The file's `metadata_props` by key. Raises `ModelFileError` as `load_model` does."""
    return {entry.key: entry.value for entry in load_model(path).metadata_props}


def read_divisor(metadata: Mapping[str, str], path: Path) -> int | None:
    """What image height and width must be multiples of, from the key "divisor"; None when it is absent."""
    text = metadata.get("divisor")
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ModelFileError(f"{path} says divisor '{text}'; a positive whole number is needed.", cure=_CURE)
    return int(text)


def _read_bytes(path: Path) -> bytes:
    with _opened(path) as stream:
        return stream.read()


def _contains(path: Path, word: bytes) -> bool:
    tail = b""
    with _opened(path) as stream:
        while piece := stream.read(1 << 20):
            if word in tail + piece:
                return True
            tail = piece[1 - len(word) :]
    return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise ModelFileError(f"{path} is empty.", cure=_CURE)
            stream.seek(0)
            yield stream
    except OSError as fault:
        raise ModelFileError(f"Cannot read the ONNX file {path}: {fault.strerror or fault}.") from None


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor: initializers and attribute values, in subgraphs and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(graph)
