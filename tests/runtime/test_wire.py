"""The outline against the onnx package, which the deployment side does without."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from compress.runtime.wire import Outline, WireError, read_outline

LENIENT = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outline(model: onnx.ModelProto) -> Outline:
    return read_outline(memoryview(model.SerializeToString()))


def test_the_outline_says_what_the_model_says(tiny_model: onnx.ModelProto) -> None:
    helper.set_model_props(tiny_model, {"b": "ü", "a": ""})
    found = outline(tiny_model)
    assert found.ir_version == 10
    assert found.opsets == {"": 20}
    assert found.metadata == {"b": "ü", "a": ""}
    assert found.operators == {"Conv": 2, "Relu": 1, "MaxPool": 1, "ConvTranspose": 1, "Concat": 1}
    assert (found.tensors, found.external, found.outputs) == (3, 0, 1)
    assert bytes(found.graph) == tiny_model.graph.SerializeToString()


@given(
    entries=st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=6),
    version=st.integers(0, 2**62),
    domain=st.text(st.characters(codec="ascii", categories=["L"]), max_size=5),
)
def test_any_metadata_and_opset_is_read_as_onnx_reads_it(entries, version, domain) -> None:
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"], domain=domain)], "g", [], []),
        opset_imports=[helper.make_opsetid(domain, version)],
    )
    helper.set_model_props(model, entries)
    found = outline(model)
    assert found.metadata == entries
    assert found.opsets == {domain: version}
    assert found.operators == {f"{domain}.Relu" if domain else "Relu": 1}


def external(**fields) -> TensorProto:
    return TensorProto(name="t", data_type=1, dims=[1], **fields)


TRICKS = {
    "told by both fields": external(
        data_location=TensorProto.EXTERNAL, external_data=[onnx.StringStringEntryProto(key="location", value="x")]
    ),
    "told by the location alone": external(data_location=TensorProto.EXTERNAL),
    "told by the entries alone": external(external_data=[onnx.StringStringEntryProto(key="location", value="/etc/x")]),
}


@pytest.mark.parametrize("tensor", TRICKS.values(), ids=TRICKS)
def test_external_data_is_seen_wherever_it_hides(tensor: TensorProto, tiny_model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [tensor])
    places = {
        "attribute": [helper.make_node("Constant", [], ["c"], value=tensor)],
        "attributes": [onnx.NodeProto(op_type="X", attribute=[onnx.AttributeProto(name="ts", tensors=[tensor])])],
        "subgraph": [helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)],
    }
    for place, nodes in places.items():
        model = onnx.ModelProto()
        model.CopyFrom(tiny_model)
        model.graph.node.extend(nodes)
        assert outline(model).external == (2 if place == "subgraph" else 1), place
        model = onnx.ModelProto()
        model.CopyFrom(tiny_model)
        model.functions.append(onnx.FunctionProto(name="f", node=nodes))
        assert outline(model).external == (2 if place == "subgraph" else 1), f"function {place}"
    sparse = onnx.SparseTensorProto(values=tensor)
    tiny_model.graph.sparse_initializer.append(sparse)
    tiny_model.training_info.append(onnx.TrainingInfoProto(initialization=inner))
    assert outline(tiny_model).external == 2


def test_several_graphs_are_refused(tiny_model: onnx.ModelProto) -> None:
    """Protobuf would merge them; a reader that takes one of them sees another network than ONNX Runtime."""
    more = onnx.ModelProto()
    more.graph.node.append(helper.make_node("Loop", ["m"], ["y"]))
    with pytest.raises(WireError, match="several graphs"):
        read_outline(memoryview(tiny_model.SerializeToString() + more.SerializeToString()))


def test_a_metadata_key_that_stands_there_twice_is_refused(tiny_model: onnx.ModelProto) -> None:
    for value in ("1", "2"):
        tiny_model.metadata_props.add(key="divisor", value=value)
    with pytest.raises(WireError, match="'divisor' stands there twice"):
        outline(tiny_model)


def test_graphs_without_end_are_refused(tiny_model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(20):
        graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], [])
    tiny_model.graph.node.extend(graph.node)
    with pytest.raises(WireError, match="nested too deeply"):
        outline(tiny_model)


@LENIENT
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_one_wrong_byte_never_breaks_the_reader(place, value, tiny_model: onnx.ModelProto) -> None:
    content = bytearray(tiny_model.SerializeToString())
    content[int(place * len(content))] = value
    try:
        read_outline(memoryview(bytes(content)))
    except WireError as fault:
        assert str(fault)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read_outline(memoryview(content))
    except WireError as fault:
        assert str(fault)


def test_unknown_fields_of_every_wire_type_are_passed_over(tiny_model: onnx.ModelProto) -> None:
    content = tiny_model.SerializeToString()
    unknown = b"\xf8\x3f\x07" + b"\xf9\x3f" + bytes(8) + b"\xfa\x3f\x02ab" + b"\xfd\x3f" + bytes(4)
    assert read_outline(memoryview(unknown + content)).operators == read_outline(memoryview(content)).operators
    for group in (b"\xfb\x3f", b"\xfc\x3f"):
        with pytest.raises(WireError, match=r"wire type [34]"):
            read_outline(memoryview(group + content))
