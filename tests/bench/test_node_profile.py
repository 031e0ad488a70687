from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress.bench import node_profile
from compress.bench.model_facts import network_layers
from compress.bench.node_profile import (
    NodeTime,
    match_layers,
    profile_nodes,
    read_profile,
)
from compress.errors import EnvironmentFault, ModelFileError
from compress.models.layers import Layer

TINY = (
    Layer("first", "conv", 1, 8, 9, 96, 1, 96),
    Layer("up", "transposed", 8, 6, 4, 96, 1, 24),
    Layer("head", "conv", 14, 4, 1, 96, 1, 96),
)


def test_layers_of_a_known_network(tiny_path: Path) -> None:
    assert network_layers(tiny_path, size=(8, 12)) == TINY
    with pytest.raises(ModelFileError, match="does not accept an image"):
        network_layers(tiny_path, size=(7, 8))


def test_groups_and_matrix_products(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]>
    grouped (float[n, 4, h, w] image) => (float[n, 5] logits) {
        a = Conv <group = 2> (image, grouped)
        b = GlobalAveragePool (a)
        c = Flatten (b)
        d = Gemm <transB = 1> (c, linear)
        e = MatMul (d, last)
        f = Transpose <perm = [1, 0]> (e)
        g = MatMul (e, f)
        logits = MatMul (g, e)
    }"""
    model = onnx.parser.parse_model(text)
    for name, shape in {"grouped": (6, 2, 3, 3), "linear": (7, 6), "last": (7, 5)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert network_layers(path, size=(10, 8)) == (
        Layer("grouped", "conv", 4, 6, 9, 48, groups=2, sweeps=48),
        Layer("linear", "linear", 6, 7, 1, 1, groups=1, sweeps=1),
        Layer("last", "linear", 7, 5, 1, 1, groups=1, sweeps=1),
    )


def test_every_layer_finds_its_node_in_a_real_profile(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    found = profile_nodes([tiny_path, tiny_path], size=(8, 12), batch=2, threads=1, rounds=3)
    assert list(scratch.iterdir()) == []
    for profile in found:
        assert profile.path == tiny_path
        assert len(profile.wall) == 3
        assert all(0 <= node.fastest <= node.median for node in profile.nodes)
        assert all(node.outputs[0][0] == 2 for node in profile.nodes), "a run of another batch was counted"
        kinds = [profile.nodes[i].operator for i in match_layers(TINY, profile.nodes)]
        assert kinds[1] == "ConvTranspose" and {kinds[0], kinds[2]} <= {"Conv", "FusedConv"}
    assert [node.operator for node in found[0].nodes] == [node.operator for node in found[1].nodes]


def test_every_timed_run_follows_the_first_network(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    opened = iter(("first", "a", "b", "A", "B"))

    def opens(path: Path, **_: object) -> SimpleNamespace:
        name, inner = next(opened), SimpleNamespace(end_profiling=lambda: "unused.json")
        return SimpleNamespace(channels=1, inner=inner, run=lambda images: calls.append(name))

    monkeypatch.setattr(node_profile, "open_session", opens)
    monkeypatch.setattr(node_profile, "read_profile", lambda file, rounds: ())
    found = profile_nodes([Path("a.onnx"), Path("b.onnx")], size=(8, 8), rounds=2)
    assert [len(profile.wall) for profile in found] == [2, 2], "warm-up runs are not timed"
    assert calls[:12] == ["first", "a", "A", "first", "b", "B", "first", "b", "B", "first", "a", "A"]


def _node(operator: str, *shapes: tuple[int, ...]) -> NodeTime:
    return NodeTime("n", operator, shapes[:-1], shapes[-1:], 1e-3, 1e-3)


NODES = (
    _node("Conv", (1, 1, 8, 12), (16, 1, 3, 3), (1, 16, 8, 12)),
    _node("ReorderOutput", (1, 16, 8, 12), (1, 8, 8, 12)),
    _node("ConvTranspose", (1, 8, 4, 6), (1, 6, 8, 12)),
    _node("Conv", (1, 14, 8, 12), (16, 14, 1, 1), (1, 16, 8, 12)),
)


def test_padded_and_packed_nodes_are_recognised() -> None:
    assert match_layers(TINY, NODES) == (0, 2, 3)


def test_branches_may_run_in_another_order() -> None:
    assert match_layers(TINY, NODES[::-1]) == (3, 1, 0)


def test_two_layers_of_one_shape_get_two_nodes() -> None:
    assert match_layers((TINY[0], TINY[0]), (NODES[0], NODES[0])) == (0, 1)
    with pytest.raises(ModelFileError, match="computes layer 1, "):
        match_layers((TINY[0], TINY[0]), NODES)


@pytest.mark.parametrize(
    "change", [{"inputs": 15}, {"outputs": 17}, {"kernel": 9}, {"positions": 24}, {"kind": "transposed"}]
)
def test_the_first_layer_without_a_node_is_named(change: dict[str, int]) -> None:
    wrong = replace(TINY[2], **change)
    with pytest.raises(ModelFileError, match=r"No profiled node computes layer 2, Layer\(name='head'.*left are: Conv"):
        match_layers((*TINY[:2], wrong), NODES)


def _profile(runs: list[list[int]], path: Path) -> Path:
    events = [{"cat": "Session", "name": "session_initialization", "dur": 5}]
    for times in runs:
        for index, time in enumerate(times):
            shape = [{"float": [1, 1, 8, 8]}]
            details = {"op_name": "Relu", "input_type_shape": shape, "output_type_shape": shape}
            events.append({"cat": "Node", "name": f"relu{index}_kernel_time", "dur": time, "args": details})
        events.append({"cat": "Session", "name": "model_run", "dur": sum(times)})
    path.write_text(json.dumps(events))
    return path


def test_warm_up_runs_are_left_out(tmp_path: Path) -> None:
    first, second = read_profile(_profile([[900, 900], [10, 3], [30, 5], [20, 4]], tmp_path / "p.json"), rounds=3)
    assert (first.name, first.operator, first.inputs) == ("relu0", "Relu", ((1, 1, 8, 8),))
    assert (first.median, first.fastest) == pytest.approx((20e-6, 10e-6))
    assert (second.median, second.fastest) == pytest.approx((4e-6, 3e-6))


@pytest.mark.parametrize("runs", [[[1, 1]], [[1, 1], [1]], [[], []]])
def test_a_profile_that_does_not_hold_the_runs_is_an_error(runs: list[list[int]], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"p\.json holds \d comparable runs of the network, not 2"):
        read_profile(_profile(runs, tmp_path / "p.json"), rounds=2)
