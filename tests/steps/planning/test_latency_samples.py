"""The latency model is measured on real exports, once, and the check times the real networks."""

from __future__ import annotations

import pytest
import torch
from workspace_kit import tiny_workspace

from compress.bench.latency import measure_latency
from compress.files import read_json, write_json
from compress.prune.allocate import Grid
from compress.prune.shapes import layers_of
from compress.steps.planning import latency, precision
from compress.steps.planning.latency import latency_model, time_pruned
from compress.steps.planning.precision import mixed_model
from compress.steps.planning.sensitivity import whole_plan
from compress.steps.training.dense import dense_checkpoint


@pytest.fixture
def ws(tmp_path, tiny_phantom):
    return tiny_workspace(tmp_path, tiny_phantom, features=(16,))


def test_samples_are_measured_once_and_predict_the_network_s_own_layers(ws, monkeypatch):
    dense = dense_checkpoint(ws)
    base = whole_plan(ws, dense)
    real = latency.sample_widths
    monkeypatch.setattr(latency, "sample_widths", lambda *args, **kwargs: real(*args, **kwargs)[:4])
    monkeypatch.setattr(latency, "TRUSTED", -1.0)
    latency_model(ws, dense, base, provider="cpu", grid=Grid(8, 4))
    assert not ws.run.planning.latency("cpu").exists(), "what a busy machine measured is not kept"
    monkeypatch.setattr(latency, "TRUSTED", 1e9)
    model = latency_model(ws, dense, base, provider="cpu", grid=Grid(8, 4))
    layers = layers_of(dense.network, torch.zeros(1, 1, 32, 32))
    assert [layer.name for layer in layers] == [layer.name for layer in model.layers]
    assert model.predict(layers) > 0
    assert model.samples[0].outputs == tuple(layer.outputs for layer in layers)

    monkeypatch.setattr(latency, "measure_latency_model", None)
    assert latency_model(ws, dense, base, provider="cpu", grid=Grid(8, 4)) == model
    with pytest.raises(TypeError):  # other widths have to be measured
        latency_model(ws, dense, base, provider="cpu", grid=Grid(16, 4))
    path = ws.run.planning.latency("cpu")
    document = read_json(path)
    del document["model"]["samples"][0]["leave_one_out_error"]
    write_json(path, document)
    with pytest.raises(TypeError):  # what an earlier version wrote is measured again too
        latency_model(ws, dense, base, provider="cpu", grid=Grid(8, 4))


def test_samples_cover_every_aligned_width(ws, monkeypatch):
    dense, widths = dense_checkpoint(ws), []

    def measure(paths, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(latency, "export_to", lambda sample, path: widths.append(sample.meta.arguments["widths"]))
    monkeypatch.setattr(latency, "measure_latency_model", measure)
    with pytest.raises(KeyboardInterrupt):
        latency_model(ws, dense, whole_plan(ws, dense), provider="cpu", grid=Grid(16, 4))
    assert widths[0] == dense.meta.arguments["widths"]
    assert {sample["encoders.0"][0] for sample in widths} == {4, 8, 12, 16}
    assert {sample["bottleneck"][0] for sample in widths} <= {4, 8, 12, 16, 32}


def test_timing_compares_round_by_round(ws, monkeypatch):
    dense = dense_checkpoint(ws)
    asked = []

    class Echo:
        def run(self, images):
            return images

    def measure(models, *, shape, rounds, **_):
        asked.append((list(models), shape, rounds))
        ticks = iter(range(10**6))
        runners = {name: Echo() for name in models}
        return measure_latency(runners, shape=shape, rounds=rounds, clock=lambda: next(ticks) ** 2 * 1.0)

    monkeypatch.setattr(latency, "time_files", measure)
    monkeypatch.setattr(latency, "export_to", lambda checkpoint, path: path)
    found = time_pruned(ws, dense, dense, provider="cpu")
    assert asked == [(["dense", "pruned"], (1, 1, 32, 32), 3)]
    assert found.share.low <= found.share.median <= found.share.high
    assert found.dense > 0 and found.pruned > 0 and found.warnings


def test_both_precisions_are_measured_once_on_the_same_samples(ws, monkeypatch):
    dense = dense_checkpoint(ws)
    base = whole_plan(ws, dense)
    real = latency.sample_widths
    monkeypatch.setattr(latency, "sample_widths", lambda *args, **kwargs: real(*args, **kwargs)[:4])
    monkeypatch.setattr(latency, "TRUSTED", 1e9)
    model = mixed_model(ws, dense, base, provider="cpu", grid=Grid(8, 4))
    layers = layers_of(dense.network, torch.zeros(1, 1, 32, 32))
    assert 0 < model.predict(layers) <= model.int8.overhead + sum(model.times(layers).int8_s.values()) + 1e-9
    assert [layer.name for layer in model.int8.layers] == [layer.name for layer in layers]
    monkeypatch.setattr(precision, "measure_mixed_model", None)
    assert mixed_model(ws, dense, base, provider="cpu", grid=Grid(8, 4)) == model
    assert ws.run.planning.mixed_latency("cpu").exists() and not ws.run.planning.latency("cpu").exists()
