from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress.bench.layer_costs import Conditions, LatencyModel, fit_latency_model, measure_latency_model, sample_widths
from compress.bench.node_profile import NodeProfile, NodeTime
from compress.errors import ConfigError, InputError, ModelFileError
from compress.models.layers import Layer

BLOCK = 16
SETTINGS = (
    *((64, 64, 64), (48, 48, 48), (32, 32, 32), (16, 32, 16), (12, 12, 12), (8, 8, 8), (4, 4, 4)),
    *((16, 64, 8), (64, 8, 32), (8, 16, 64), (48, 4, 16), (4, 64, 12)),
)
UNSEEN = ((32, 8, 16), (48, 16, 64), (8, 64, 32), (16, 16, 16), (12, 4, 8), (64, 12, 4))


def network(widths: Sequence[int]) -> tuple[Layer, ...]:
    """first -> pool -> second -> up, joined with first -> head."""
    a, b, c = widths
    return (
        Layer("first", "conv", 1, a, 9, 400, 1, 400),
        Layer("second", "conv", a, b, 9, 100, 1, 100),
        Layer("up", "transposed", b, c, 4, 400, 1, 100),
        Layer("head", "conv", a + c, 4, 1, 400, 1, 400),
    )


def _blocks(channels: int) -> int:
    return -(-channels // BLOCK)


def own_seconds(layer: Layer) -> float:
    """A machine that computes padded blocks, loses time in a lone last one, and copies matrices where there is none."""
    if layer.kind == "transposed":
        return 1e-5 + 2e-9 * layer.positions * layer.inputs * layer.outputs
    if layer.outputs < BLOCK:
        return 5e-6 + 1e-9 * layer.positions * layer.inputs * (layer.kernel * layer.outputs + 6)
    read = layer.inputs if layer.inputs < BLOCK else BLOCK * _blocks(layer.inputs)
    lone = 0.4 if _blocks(layer.outputs) % 4 == 1 else 0.0
    return 5e-6 + 7e-8 * layer.positions * read * (_blocks(layer.outputs) + lone)


def profile(widths: Sequence[int], *, slower: float = 1.0, busy: float = 1.0) -> NodeProfile:
    """What that machine measures; `slower` multiplies the wall time only, `busy` all but the fastest round."""
    layers = network(widths)
    nodes = []
    for layer in layers:
        shape = (1, layer.outputs, layer.positions, 1)
        nodes.append(_node("ConvTranspose" if layer.kind == "transposed" else "Conv", layer, shape, own_seconds(layer)))
        nodes.append(_node("Concat", layer, shape, 2e-6 + 1e-9 * layer.positions * layer.outputs))
    wall = slower * (1e-4 + 1.05 * sum(node.fastest for node in nodes))
    nodes = [replace(node, median=busy * node.median) for node in nodes]
    return NodeProfile(Path("x.onnx"), tuple(nodes), (busy * wall, wall, busy * wall))


def _node(operator: str, layer: Layer, output: tuple[int, ...], seconds: float) -> NodeTime:
    return NodeTime("n", operator, ((1, layer.inputs, layer.positions, 1),), (output,), seconds, seconds)


def fit(settings: Sequence[Sequence[int]], profiles: Sequence[NodeProfile]) -> LatencyModel:
    layers = [network(widths) for widths in settings]
    return fit_latency_model(layers, profiles, Conditions("cpu", BLOCK, threads=2, batch=1, size=(20, 20)))


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return fit(SETTINGS, [profile(widths) for widths in SETTINGS])


@pytest.mark.parametrize("widths", UNSEEN)
def test_networks_that_were_not_measured_are_predicted(widths: tuple[int, ...], model: LatencyModel) -> None:
    measured = profile(widths).wall[0]
    assert model.predict(network(widths)) == pytest.approx(measured, rel=0.02)


def test_a_busy_machine_that_lets_one_round_through_measures_the_same(model: LatencyModel) -> None:
    rng = np.random.default_rng(0)
    disturbed = fit(SETTINGS, [profile(widths, busy=float(rng.uniform(1, 4))) for widths in SETTINGS])
    assert (disturbed.coefficients, disturbed.overhead) == (model.coefficients, model.overhead)


def test_the_overhead_and_each_layer_are_told_apart(model: LatencyModel) -> None:
    layers = network(UNSEEN[1])
    each = model.seconds_per_layer(layers)
    assert model.overhead == pytest.approx(1e-4, rel=0.1)
    assert sum(each) + model.overhead == pytest.approx(model.predict(layers))
    assert each[1] == pytest.approx(1.05 * own_seconds(layers[1]), rel=0.1)


def test_many_settings_at_once_are_the_same_as_each_alone(model: LatencyModel) -> None:
    inputs = np.array([[layer.inputs for layer in network(widths)] for widths in UNSEEN])
    outputs = np.array([[layer.outputs for layer in network(widths)] for widths in UNSEEN])
    alone = [model.predict(network(widths)) for widths in UNSEEN]
    np.testing.assert_allclose(model.predict_widths(inputs, outputs), alone, rtol=1e-12)


def test_names_do_not_matter_and_a_second_prediction_is_the_first(model: LatencyModel) -> None:
    layers = [replace(layer, name="?") for layer in network(UNSEEN[0])]
    assert model.predict(layers) == model.predict(network(UNSEEN[0])) == model.predict(layers)


def test_leave_one_out_errors_are_small_on_a_steady_machine_and_name_a_disturbed_sample(model: LatencyModel) -> None:
    assert [sample.outputs[:3] for sample in model.samples] == list(SETTINGS)
    assert model.samples[0].seconds == profile(SETTINGS[0]).wall[0]
    assert model.largest_error < 0.1
    disturbed = fit(SETTINGS, [profile(widths, slower=1 + (widths == SETTINGS[2])) for widths in SETTINGS])
    errors = [sample.leave_one_out_error for sample in disturbed.samples]
    assert min(errors) == errors[2] < -0.4
    assert disturbed.largest_error == -errors[2]


def test_json_keeps_the_model(model: LatencyModel) -> None:
    again = LatencyModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again == model
    assert again.predict(network(UNSEEN[0])) == model.predict(network(UNSEEN[0]))
    with pytest.raises(InputError, match=r"Not a latency model: overhead: .*Measure it again"):
        LatencyModel.from_json({**model.to_json(), "overhead": "much"})


def test_what_the_samples_do_not_cover_is_an_error(model: LatencyModel) -> None:
    known = network(SETTINGS[0])
    with pytest.raises(InputError, match="networks of 4 layers, not of 3"):
        model.predict(known[:3])
    with pytest.raises(InputError, match=r"Layer 1 is .*positions=9.*measured .*positions=100"):
        model.predict((known[0], replace(known[1], positions=9), *known[2:]))
    with pytest.raises(InputError, match=r"Layer 1 \(second\) has 22 input channels; .* multiples of 4"):
        model.predict((known[0], replace(known[1], inputs=22), *known[2:]))
    with pytest.raises(InputError, match=r"Layer 3 \(head\) has 8 output channels; .* 4 only"):
        model.predict((*known[:3], replace(known[3], outputs=8)))


def _save(width: int, path: Path, *, head: int = 1) -> Path:
    text = f"""<ir_version: 10, opset_import: ["" : 20]>
    m (float[n, 1, h, w] image) => (float[n, 4, h, w] logits) {{
        a = Conv <pads = [1, 1, 1, 1]> (image, first)
        b = Relu (a)
        logits = Conv <pads = [{head // 2}, {head // 2}, {head // 2}, {head // 2}]> (b, head)
    }}"""
    model = onnx.parser.parse_model(text)
    for name, shape in {"first": (width, 1, 3, 3), "head": (4, width, head, head)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    path.write_bytes(model.SerializeToString())
    return path


def test_files_are_measured_on_the_real_provider(tmp_path: Path) -> None:
    paths = [_save(width, tmp_path / f"{width}.onnx") for width in (64, 32, 16, 8)]
    model = measure_latency_model(paths, size=(16, 16), batch=2, threads=1, rounds=3)
    assert (model.provider, model.threads, model.batch, model.size) == ("cpu", 1, 2, (16, 16))
    assert [sample.outputs for sample in model.samples] == [(64, 4), (32, 4), (16, 4), (8, 4)]
    assert 0 < model.predict(model.layers) < 1
    assert np.isfinite(model.largest_error)


def test_one_topology_is_needed(tmp_path: Path) -> None:
    paths = [_save(width, tmp_path / f"{width}.onnx") for width in (64, 32, 16)]
    with pytest.raises(ModelFileError, match=r"odd\.onnx is not the network of .*kernel=9.* instead of .*kernel=1"):
        measure_latency_model([*paths, _save(16, tmp_path / "odd.onnx", head=3)], size=(16, 16))
    with pytest.raises(ConfigError, match="needs 4 sample networks or more, got 3"):
        measure_latency_model(paths, size=(16, 16))


def test_a_gpu_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"predicted on 'cuda'.*Use a target in macs or params"):
        measure_latency_model([], size=(16, 16), provider="cuda")


def test_proposed_widths() -> None:
    dense = (20, 64, 512, 8)
    found = sample_widths(dense, alignment=16, below=4, mixes=3)
    assert found[0] == dense
    assert {(12, 12, 12, 8), (8, 8, 8, 8), (4, 4, 4, 4)} < set(found)
    assert len(found) == len(set(found)) == 12
    for setting in found:
        assert all(w == d or w in (4, 8, 12) or w % 16 == 0 for w, d in zip(setting, dense, strict=True))
        assert all(4 <= w <= d for w, d in zip(setting, dense, strict=True))
    assert sample_widths(dense, alignment=16, below=4, seed=1)[:9] == found[:9]
    assert sample_widths(dense, alignment=16, below=4, seed=1) != found
    tight = sample_widths((64, 64), alignment=16)
    assert tight[:4] == ((64, 64), (48, 48), (32, 32), (16, 16))
    assert len(tight) == len(set(tight)) == 7
    with pytest.raises(ConfigError, match="must all be positive"):
        sample_widths((64, 0), alignment=16)
