"""Hostile models: files that are no models, weights in other files, graphs that should not run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hostile_kit import (
    Maker,
    Place,
    Row,
    both,
    card_text,
    model,
    model_bytes,
    resealed,
)
from onnx import TensorProto, helper, numpy_helper

ALL = ("predict", "info", "verify")
RUN = ("predict", "verify")


def _instead(make: Any) -> Maker:
    """Put something else where the model was."""

    def put(place: Place) -> None:
        place.model.unlink()
        make(place.model)

    return put


def _named(name: str | bytes) -> Maker:
    def rename(place: Place) -> None:
        new = place.root / os.fsdecode(name)
        place.model = place.model.rename(new) if len(name) < 250 else new

    return rename


FILES = [
    Row("model missing", lambda p: p.model.unlink(), 2, "no such file", ALL),
    Row("model is a folder", _instead(Path.mkdir), 2, "it is a folder", ALL),
    Row("model of zero bytes", model_bytes(lambda _: b""), 2, "is empty (0 bytes)", ALL),
    Row("model is a text", model_bytes(lambda _: b"a model, honestly\n" * 50), 2, "is not an ONNX file", ALL),
    Row("model cut in the middle", model_bytes(lambda b: b[: len(b) // 2]), 2, "truncated", ALL),
    Row("model twice in one file", model_bytes(lambda b: b + b), 2, "several graphs", ALL),
    Row("half a million empty graphs as model", model_bytes(lambda _: b"\x3a\x00" * 500_000), 2, "several graphs", ALL),
    Row("model with a tail", model_bytes(lambda b: b + b"\xff" * 9), 2, "is not an ONNX file", ALL),
    Row("model and image swapped", lambda p: _swap(p), 2, "no image by its name"),
    Row("FIFO as model", _instead(os.mkfifo), 2, "it is no regular file", ALL),
    Row("endless device as model", _instead(lambda p: p.symlink_to("/dev/zero")), 2, "it is no regular file", ALL),
    Row("symlink loop as model", _instead(lambda p: p.symlink_to(p)), 2, "Cannot read the ONNX file", ALL),
    Row("model name too long", _named("m" * 300), 2, "File name too long", ALL),
    Row("model path through a file", lambda p: _through(p), 2, "Cannot read the ONNX file", ALL),
    Row("model name is no UTF-8", both(_named(b"m\xff.onnx"), card_text("{}")), 2, "m\\udcff.onnx", ALL),
    Row("model name of two lines", both(_named("a\nb\x1b[2J.onnx"), card_text("{}")), 2, "\\x1b[2J.onnx", ALL),
]


def _swap(place: Place) -> None:
    place.model, place.source = place.source, place.model


def _through(place: Place) -> None:
    place.model = place.source / "model.onnx"


def _external(**fields: Any) -> TensorProto:
    return TensorProto(name="t", data_type=1, dims=[1], **fields)


def _entry(location: str) -> list[onnx.StringStringEntryProto]:
    return [onnx.StringStringEntryProto(key="location", value=location)]


def _outside(location: str) -> Maker:
    """All weights in another file that is really there."""

    def make(place: Place) -> None:
        where = location.format(root=place.root)
        (place.root / "beside.bin").write_bytes(bytes(2**16))
        (place.root / "deep").mkdir()
        place.model = place.model.rename(place.root / "deep" / "model.onnx")

        def move(parsed: onnx.ModelProto) -> None:
            for tensor in parsed.graph.initializer:
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.extend(_entry(where))

        model(move)(place)

    return make


def _with_node(*nodes: onnx.NodeProto) -> Maker:
    return model(lambda parsed: parsed.graph.node.extend(nodes))


def _with_spy(node: onnx.NodeProto) -> Maker:
    return resealed(lambda parsed: parsed.graph.node.append(node))


def _with_initializer(tensor: TensorProto) -> Maker:
    return model(lambda parsed: parsed.graph.initializer.append(tensor))


def _in_function(parsed: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=_external(external_data=_entry("/etc/hostname")))
    parsed.functions.append(helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 20)]))


def _overlong_tag(content: bytes) -> bytes:
    """A graph whose initializer names another file under a field number that C++ cuts to 32 bits, back to 13."""
    entry = _entry("/etc/hostname")[0].SerializeToString()
    hidden = bytes([13 << 3 | 2 | 0x80, 0x80, 0x80, 0x80, 0x10, len(entry)]) + entry
    tensor = _external(data_location=TensorProto.EXTERNAL).SerializeToString().replace(b"\x70\x01", b"") + hidden
    graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
    return content + bytes([7 << 3 | 2, len(graph)]) + graph


_INNER = helper.make_graph([helper.make_node("Identity", ["image"], ["i"])], "inner", [], [])
_EXTERNAL = "in other files; only self-contained models are opened"
EXTERNAL = [
    Row("weights in a file beside", _outside("../beside.bin"), 2, _EXTERNAL, ALL),
    Row("external data by its place alone", _with_initializer(_external(data_location=1)), 2, _EXTERNAL, ALL),
    Row("external data by its entries alone", _with_initializer(_external(external_data=_entry("x"))), 2, _EXTERNAL),
    Row("external data in a function", model(_in_function), 2, _EXTERNAL, ALL),
    Row("external data behind an overlong tag", model_bytes(_overlong_tag), 2, "is not an ONNX file", ALL),
    Row(
        "external data in an attribute",
        _with_node(helper.make_node("Constant", [], ["c"], value=_external(data_location=1))),
        2,
        _EXTERNAL,
        ALL,
    ),
]


def _huge_tensor(parsed: onnx.ModelProto) -> None:
    parsed.graph.initializer[0].dims[:] = [2**40, 2**20]


def _opset(version: int) -> Maker:
    return model(lambda parsed: setattr(parsed.opset_import[0], "version", version))


def _second_input(parsed: onnx.ModelProto) -> None:
    parsed.graph.input.append(helper.make_tensor_value_info("more", 1, ["n"]))


def _renamed_input(parsed: onnx.ModelProto) -> None:
    parsed.graph.input[0].name = "scan"
    for node in parsed.graph.node:
        node.input[:] = ["scan" if name == "image" else name for name in node.input]


def _input_sizes(**sizes: int) -> Maker:
    places = {"n": 0, "channels": 1, "rows": 2, "columns": 3}

    def fix(parsed: onnx.ModelProto) -> None:
        for name, size in sizes.items():
            parsed.graph.input[0].type.tensor_type.shape.dim[places[name]].dim_value = size

    return resealed(fix)


def _last(parsed: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Rename what was the output to "before", and let `nodes` make the output from it."""
    for node in parsed.graph.node:
        node.output[:] = ["before" if name == "logits" else name for name in node.output]
    parsed.graph.node.extend(nodes)


def _half_input(parsed: onnx.ModelProto) -> None:
    parsed.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in parsed.graph.node:
        node.input[:] = ["wide" if name == "image" else name for name in node.input]
    parsed.graph.node.insert(0, helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT))


def _half_size(parsed: onnx.ModelProto) -> None:
    del parsed.graph.output[0].type.tensor_type.shape.dim[:]
    for name in ("n", 4, "h", "w"):
        dim = parsed.graph.output[0].type.tensor_type.shape.dim.add()
        dim.dim_value, dim.dim_param = (name, "") if isinstance(name, int) else (0, name)
        if isinstance(name, str):
            dim.dim_param = name
    _last(parsed, helper.make_node("MaxPool", ["before"], ["logits"], kernel_shape=[2, 2], strides=[2, 2]))


def _lying_classes(parsed: onnx.ModelProto) -> None:
    """The graph says 4 classes and gives 8, through a shape that is only known when it runs."""
    tensors = {"start": [0], "end": [4], "axis": [1], "twice": [2]}
    for name, value in tensors.items():
        parsed.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    nodes = [
        helper.make_node("Concat", ["before", "before"], ["double"], axis=1),
        helper.make_node("Shape", ["double"], ["sizes"]),
        helper.make_node("Cast", ["sizes"], ["real"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["real"], ["again"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["double", "again"], ["logits"]),
    ]
    _last(parsed, *nodes)


def _nan_weights(parsed: onnx.ModelProto) -> None:
    tensor = parsed.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), np.nan, np.float32), tensor.name))


def _call_each_other(parsed: onnx.ModelProto) -> None:
    """Thirty functions that each call the one before twice: a billion nodes when they are written out."""
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    for depth in range(30):
        inner = "Relu" if depth == 0 else f"f{depth - 1}"
        domain = "" if depth == 0 else "own"
        nodes = [helper.make_node(inner, [a], [b], domain=domain) for a, b in (("x", "y"), ("y", "z"))]
        parsed.functions.append(helper.make_function("own", f"f{depth}", ["x"], ["z"], nodes, opsets))
    parsed.opset_import.append(helper.make_opsetid("own", 1))
    _last(parsed, helper.make_node("f29", ["before"], ["logits"], domain="own"))


def _control(name: str, **branches: Any) -> Maker:
    return _with_node(helper.make_node(name, ["image"], ["y"], **branches))


_OPEN = "ONNX Runtime"
GRAPHS = [
    Row("a loop", _control("Loop", body=_INNER), 2, "uses Loop", RUN),
    Row("a scan", _control("Scan", body=_INNER), 2, "uses Scan", RUN),
    Row("a branch", _control("If", then_branch=_INNER, else_branch=_INNER), 2, "uses If", RUN),
    Row("a loop of another name", _control("BeamSearch", decoder=_INNER), 2, "no control flow", RUN),
    Row("functions that multiply", model(_call_each_other), 2, "no control flow", RUN),
    Row("an operator of somebody's own", _with_spy(helper.make_node("Spy", ["image"], ["y"], domain="x")), 2, _OPEN),
    Row("an operator that nobody knows", _with_spy(helper.make_node("Spy", ["image"], ["y"])), 2, _OPEN, RUN),
    Row("opset 99", _opset(99), 2, "Opset 99", RUN),
    Row("opset 0", _opset(0), 2, _OPEN, RUN),
    Row("no opset", model(lambda m: m.opset_import.__delitem__(0)), 2, "no complete ONNX graph", ALL),
    Row("IR version 99", model(lambda m: setattr(m, "ir_version", 99)), 2, "IR version: 99", RUN),
    Row("no graph", model(lambda m: m.ClearField("graph")), 2, "no complete ONNX graph", ALL),
    Row("no output", model(lambda m: m.graph.output.__delitem__(0)), 2, "no complete ONNX graph", ALL),
    Row("a weight left out", resealed(lambda m: m.graph.initializer.__delitem__(0)), 2, "ONNX", RUN),
    Row("a weight of 2**60 values and no data", resealed(_huge_tensor), 2, _OPEN, RUN),
    Row("two inputs", resealed(_second_input), 2, "expected 'image'", RUN),
    Row("an input of another name", resealed(_renamed_input), 2, "expected 'image'", RUN),
    Row("an input of float16", resealed(_half_input), 2, "tensor(float16)", RUN),
    Row("a batch of one alone", _input_sizes(n=1), 2, "any number of slices", RUN),
    Row("a fixed size of another window", _input_sizes(rows=64, columns=64), 2, "64", RUN),
    Row("a fixed size that fills the memory", _input_sizes(rows=2**20, columns=2**20), 2, "1048576", RUN),
    Row("a fixed batch that fills the memory", _input_sizes(n=2**31), 2, "2147483648", RUN),
    Row("output of half the size", resealed(_half_size), 2, "logits"),
    Row("output of half the size, verify", resealed(_half_size), 2, "logits", ("verify",)),
    Row("more classes than it says", resealed(_lying_classes), 2, "classes"),
    Row("more classes than it says, verify", resealed(_lying_classes), 2, "classes", ("verify",)),
    Row("weights that are NaN, predict", resealed(_nan_weights), 2, "not finite"),
    Row("weights changed after export", model(_nan_weights), 2, "weights or graph changed after export"),
    Row("weights that are NaN, verify", resealed(_nan_weights), 4, "not finite", ("verify",)),
]


MODELS = [*FILES, *EXTERNAL, *GRAPHS]
