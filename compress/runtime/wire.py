"""The outline of an ONNX file, read from its protobuf wire format without building anything.

A deployment box has no `onnx` package, and a file must be looked at before ONNX Runtime follows what it
says: ONNX Runtime would open files outside the model that a forged tensor names. Field numbers are
those of onnx.proto3; everything that is not needed is stepped over, never copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_DEPTH = 16
"""Graphs inside nodes of graphs; ONNX Runtime itself recurses over them."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL."""

Field = tuple[int, "int | memoryview"]


class WireError(ValueError):
    """The bytes are no protobuf message, or are cut short."""


@dataclass
class Outline:
    """What a model file says of itself."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    """Operator domain ("" is ONNX's own) -> version."""
    metadata: dict[str, str] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    """Operator, with its domain in front where it is not ONNX's own -> number of nodes."""
    outputs: int = 0
    tensors: int = 0
    """Stored tensors, initializers and constants."""
    external: int = 0
    """Those whose values lie in other files."""
    nested: int = 0
    """Graphs inside nodes, and functions: what can branch, repeat or multiply when it runs."""
    graphs: int = 0
    graph: memoryview | bytes = b""
    """The bytes of the graph, for a digest."""


def read_outline(content: memoryview) -> Outline:
    """The outline of a serialised ModelProto. Raises `WireError`."""
    outline = Outline()
    for number, value in _fields(content):
        if number == 1:
            outline.ir_version = _number(value)
        elif number == 7:
            outline.graphs += 1
            if outline.graphs > 1:  # protobuf would merge them; nobody writes such a file
                raise WireError("several graphs")
            outline.graph = _view(value)
            _read_graph(outline.graph, outline, 0)
        elif number == 8:
            _read_opset(_view(value), outline)
        elif number == 14:
            _read_metadata(_view(value), outline)
        elif number == 20:
            for _, graph in _chosen(_view(value), {1, 2}):
                _read_graph(graph, outline, 0)
        elif number == 25:
            outline.nested += 1
            _read_function(_view(value), outline)
    return outline


def _read_graph(graph: memoryview, outline: Outline, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise WireError("graphs nested too deeply")
    for number, part in _chosen(graph, {1, 5, 12, 15}):
        if number == 1:
            _read_node(part, outline, depth)
        elif number == 5:
            _read_tensor(part, outline)
        elif number == 15:
            _read_sparse(part, outline)
        elif depth == 0:
            outline.outputs += 1


def _read_node(node: memoryview, outline: Outline, depth: int) -> None:
    operator = domain = ""
    for number, part in _chosen(node, {4, 5, 7}):
        if number == 4:
            operator = _text(part)
        elif number == 7:
            domain = _text(part)
        else:
            _read_attribute(part, outline, depth)
    name = operator if domain in ("", "ai.onnx") else f"{domain}.{operator}"
    outline.operators[name] = outline.operators.get(name, 0) + 1


def _read_attribute(attribute: memoryview, outline: Outline, depth: int) -> None:
    for number, part in _chosen(attribute, {5, 6, 10, 11, 22, 23}):
        if number in (5, 10):
            _read_tensor(part, outline)
        elif number in (6, 11):
            outline.nested += 1
            _read_graph(part, outline, depth + 1)
        else:
            _read_sparse(part, outline)


def _read_function(function: memoryview, outline: Outline) -> None:
    for number, part in _chosen(function, {7, 11}):
        if number == 7:
            _read_node(part, outline, 0)
        else:
            _read_attribute(part, outline, 0)


def _read_sparse(sparse: memoryview, outline: Outline) -> None:
    for _, tensor in _chosen(sparse, {1, 2}):
        _read_tensor(tensor, outline)


def _read_tensor(tensor: memoryview, outline: Outline) -> None:
    """Values outside the file are told by either of two fields; a forged file may set only one."""
    outside = False
    for number, value in _fields(tensor):
        outside |= number == 13 or (number == 14 and value == _EXTERNAL)
    outline.tensors += 1
    outline.external += outside


def _read_opset(opset: memoryview, outline: Outline) -> None:
    domain, version = "", 0
    for number, value in _fields(opset):
        if number == 1:
            domain = _text(_view(value))
        elif number == 2:
            version = _number(value)
    outline.opsets["" if domain == "ai.onnx" else domain] = version


def _read_metadata(entry: memoryview, outline: Outline) -> None:
    found = {1: "", 2: ""}
    for number, part in _chosen(entry, {1, 2}):
        found[number] = _text(part)
    if found[1] in outline.metadata:
        raise WireError(f"the metadata key '{found[1][:40]}' stands there twice")
    outline.metadata[found[1]] = found[2]


def _chosen(message: memoryview, numbers: set[int]) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of these numbers."""
    for number, value in _fields(message):
        if number in numbers:
            yield number, _view(value)


def _fields(message: memoryview) -> Iterator[Field]:
    """Every field of one message: its number, and an int or the bytes of text, submessages and packed numbers."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not 0 < number < 2**29:  # other readers cut a larger one to 32 bits, and see another field
            raise WireError(f"field number {number}")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise WireError(f"wire type {kind}")
        if size > end - at:
            raise WireError("cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise WireError("a number without an end")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _number(value: int | memoryview) -> int:
    if isinstance(value, int):
        return value
    raise WireError("bytes where a number belongs")


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, memoryview):
        return value
    raise WireError("a number where bytes belong")


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise WireError("text that is not UTF-8") from None
