"""From a target to widths that really cost what was asked, and to files that reproduce them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from latency_kit import made_up_model
from workspace_kit import tiny_workspace

from compress.config.read import from_document, load_ratios
from compress.errors import ConfigError, PlanError, ProviderError
from compress.evaluate.interval import Interval
from compress.models.cost import count_macs, count_parameters
from compress.prune.plan import load_plan
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.shapes import layers_of
from compress.prune.target import parse_target
from compress.steps.planning import costs, search
from compress.steps.planning import plan as budgeting
from compress.steps.planning.latency import Timing
from compress.steps.planning.plan import plan_budget
from compress.steps.planning.request import BudgetRequest
from compress.steps.planning.search import damage_tables
from compress.steps.planning.sensitivity import BlockScore, Sensitivity, whole_plan
from compress.steps.pruning.depth import restructured
from compress.steps.pruning.ranking import rank
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace


def _request(text: str, **chosen) -> BudgetRequest:
    return BudgetRequest(parse_target(text), **{"align": "none", "slices": 6, "depth": False, **chosen})


@pytest.fixture(scope="module")
def ws(tmp_path_factory, tiny_phantom):
    """Shared: its sensitivity is measured once."""
    return tiny_workspace(tmp_path_factory.mktemp("run"), tiny_phantom, features=(8,))


@pytest.fixture
def fresh(tmp_path, tiny_phantom):
    return tiny_workspace(tmp_path, tiny_phantom, features=(8,))


@pytest.mark.parametrize("text", ["macs=0.3x", "params=0.3x"])
def test_the_rebuilt_network_meets_the_target(ws, text):
    found = plan_budget(ws, _request(text))
    dense = dense_checkpoint(ws)
    small = rebuild_checkpoint(dense, found.plan).network
    counted = {"macs": lambda n: count_macs(n, size=(32, 32)), "params": count_parameters}[found.target.quantity]
    share = counted(small) / counted(dense.network)
    assert share == pytest.approx(found.predicted) and 0.2 < share <= 0.3
    assert found.dense_cost == counted(dense.network)
    assert found.timing is None and found.error is None
    assert {w.name: w.after for w in found.widths} == {n: len(k) for n, k in found.plan.kept.items()}
    narrowed = [w for w in found.widths if w.after < w.before]
    assert narrowed and all("saves" in w.reason and f"dense {found.target.quantity}" in w.reason for w in narrowed)


def test_prune_makes_the_same_network_of_the_file(ws, tmp_path):
    found = plan_budget(ws, _request("macs=0.3x", out=tmp_path / "mine.yaml"))
    files = ws.run.planning.target("macs=0.3x")
    assert found.ratios == tmp_path / "mine.yaml"
    assert found.ratios.read_bytes() == files.ratios.read_bytes()
    ratios = load_ratios(found.ratios, levels=1)
    assert (ratios.align, ratios.default) == ("none", 0.0)
    again = rank(ws, dense_checkpoint(ws), ws.config.pruning.but(ratios=ratios))
    assert again.digest == found.plan.digest == load_plan(files.plan).digest
    table = json.loads(files.widths.read_text())
    assert {g["name"]: g["after"] for g in table["groups"]} == {n: len(k) for n, k in again.kept.items()}
    assert (table["target"], table["measured"], table["phantom"]) == ("macs=0.3x", None, True)


def test_aligned_widths_and_a_target_out_of_their_reach(ws):
    with pytest.raises(PlanError, match=r"0\.1x params cannot be reached: the narrowest widths allowed give 0\.\d+x"):
        plan_budget(ws, _request("params=0.1x", align=4))
    assert not ws.run.planning.target("params=0.1x").root.exists()
    found = plan_budget(ws, _request("params=0.5x", align=4))
    assert all(w.after % 4 == 0 for w in found.widths)


def test_damage_of_a_block_is_shared_by_its_groups(ws):
    base = whole_plan(ws, dense_checkpoint(ws))
    kept = {"encoders.0.conv1": 4, "encoders.0.conv2": 4}
    rows = (BlockScore("encoders.0", 0.5, kept, 0.6),)
    found = Sensitivity(0.8, 6, rows, True, ws.run.planning.sensitivity_plot)
    other = replace(base, groups={n: g for n, g in base.groups.items() if g.block == "encoders.0"})
    tables = damage_tables(found, other, {n: (2, 4, 6, 8) for n in other.groups})
    expected = {8: 0.0, 6: 0.05, 4: 0.1, 2: 0.1}
    assert tables["encoders.0.conv1"] == pytest.approx(expected) and tables["encoders.0.conv2"] == pytest.approx(
        expected
    )


def test_latency_is_predicted_measured_and_compared(ws, monkeypatch):
    def predict(layers):
        return 1e-3 + 1e-6 * sum(layer.outputs for layer in layers)

    timed = []

    def time_pruned(ws, dense, pruned, *, provider, finish):
        timed.append(sum(sum(w) for w in pruned.meta.arguments["widths"].values()))
        return Timing(2e-3, 1e-3, Interval(0.5, 0.4, 0.6), ("busy",))

    monkeypatch.setattr(costs, "latency_model", lambda *_, **__: SimpleNamespace(predict=predict))
    monkeypatch.setattr(budgeting, "time_pruned", time_pruned)
    found = plan_budget(ws, _request("latency=0.97x", align=2))
    assert found.dense_cost == pytest.approx(1e-3 + 1e-6 * (5 * 8 + 2 * 16 + 4))
    head = 4
    assert found.predicted == pytest.approx((1e-3 + 1e-6 * (timed[0] + head)) / found.dense_cost)
    assert found.predicted <= 0.97
    assert found.error == pytest.approx(found.predicted / 0.5 - 1)
    table = json.loads(ws.run.planning.target("latency=0.97x").widths.read_text())
    assert table["measured"]["share"] == {"median": 0.5, "low": 0.4, "high": 0.6}
    assert table["prediction_error"] == pytest.approx(found.error)


def _losing(monkeypatch, losses: dict[str, float], otherwise: float = 0.5) -> None:
    """Narrower widths lose half of their share in Dice, moves of depth what is said."""
    real = budgeting.measure_sensitivity

    def sensitivity(*args, **kwargs):
        found = real(*args, **kwargs)
        return replace(found, dense_dice=0.8, rows=tuple(replace(r, dice=0.8 - r.ratio / 2) for r in found.rows))

    monkeypatch.setattr(budgeting, "measure_sensitivity", sensitivity)

    def measured(ws, dense, moves, *, slices, dense_dice):
        return {move: losses.get(move, otherwise) for move in moves}

    monkeypatch.setattr(search, "measure_depth", measured)


@pytest.mark.parametrize("text", ["macs=0.6x", "params=0.6x"])
def test_depth_that_costs_nothing_is_taken_and_counted_right(ws, monkeypatch, tmp_path, text):
    _losing(monkeypatch, {"encoders.0": 0.0, "decoders.1": 0.0})
    found = plan_budget(ws, _request(text, depth=True, out=tmp_path / "ratios.yaml"))
    ratios = load_ratios(tmp_path / "ratios.yaml", levels=1)
    assert ratios.single and {m.name for m in found.moves if m.chosen} == set(ratios.single)
    assert {m.name for m in found.moves} == {"encoders.0", "bottleneck", "decoders.1", "space_to_depth"}
    assert all(m.reason for m in found.moves)
    dense = dense_checkpoint(ws)
    small = rebuild_checkpoint(restructured(ws, dense, ratios), found.plan).network
    counted = {"macs": lambda n: count_macs(n, size=(32, 32)), "params": count_parameters}[found.target.quantity]
    assert counted(small) / counted(dense.network) == pytest.approx(found.predicted) and found.predicted <= 0.6
    gone = [w for w in found.widths if w.after == 0]
    assert {w.name for w in gone} == {f"{block}.conv1" for block in ratios.single}
    table = json.loads(ws.run.planning.target(text).widths.read_text())
    assert [m["name"] for m in table["depth"] if m["chosen"]] == [m.name for m in found.moves if m.chosen]


def test_without_full_resolution_where_that_loses_least(ws, monkeypatch, tmp_path):
    _losing(monkeypatch, {"space_to_depth": 0.0})
    found = plan_budget(ws, _request("macs=0.2x", depth=True, out=tmp_path / "ratios.yaml"))
    ratios = load_ratios(tmp_path / "ratios.yaml", levels=1)
    assert ratios.space_to_depth and not ratios.single
    dense = dense_checkpoint(ws)
    small = rebuild_checkpoint(restructured(ws, dense, ratios), found.plan).network
    share = count_macs(small, size=(32, 32)) / count_macs(dense.network, size=(32, 32))
    assert share == pytest.approx(found.predicted) and share <= 0.2
    assert {m.name for m in found.moves if m.chosen} == {"space_to_depth"}
    assert "with the level" in found.moves[-1].reason


def test_depth_is_measured_once_and_left_where_it_loses(ws):
    found = plan_budget(ws, _request("macs=0.5x", depth=True))
    stored = ws.run.planning.depth.read_bytes()
    again = plan_budget(ws, _request("macs=0.5x", depth=True))
    assert ws.run.planning.depth.read_bytes() == stored and again.moves == found.moves
    losses = {m.name: m.dice_lost for m in found.moves}
    assert len(losses) == 4 and all(0 <= loss <= 1 for loss in losses.values())
    for move in found.moves:
        assert move.chosen or any(word in move.reason for word in ("Dice", "cannot be reached", "gone with"))


def test_a_single_convolution_is_predicted_as_the_first_of_its_block(ws, monkeypatch):
    """The layer that reads the block's input takes the width of the block's output."""
    _losing(monkeypatch, {"decoders.1": 0.0})
    priced = []

    def each(layers):
        priced.append({layer.name: (layer.inputs, layer.outputs) for layer in layers})
        return [layer.inputs * layer.outputs * 1e-6 for layer in layers]

    model = SimpleNamespace(predict=lambda layers: 1e-3 + sum(each(layers)), seconds_per_layer=each, overhead=1e-3)
    monkeypatch.setattr(costs, "latency_model", lambda *_, **__: model)
    timing = Timing(2e-3, 1e-3, Interval(0.5, 0.4, 0.6), ())
    monkeypatch.setattr(budgeting, "time_pruned", lambda *_, **__: timing)
    found = plan_budget(ws, _request("latency=0.9x", align=2, depth=True))
    assert [m.name for m in found.moves if m.chosen] == ["decoders.1"]
    kept = {w.name: w.after for w in found.widths}
    inputs = kept["encoders.0.conv2"] + kept["decoders.0"]
    assert any(row["decoders.1.conv1"] == (inputs, kept["decoders.1.conv2"]) for row in priced)
    whole = 1e-3 + 1e-6 * (8 + 64 + 8 * 16 + 256 + 16 * 8 + 16 * 8 + 64 + 32)
    assert found.dense_cost == pytest.approx(whole)


@pytest.fixture
def both_precisions(ws, monkeypatch):
    """Plans from a made-up table; what would be timed is collected: the file and the layers left in float32."""
    layers = layers_of(dense_checkpoint(ws).network, torch.zeros(1, 1, 32, 32))
    chain = [(a.name, b.name, 1) for a, b in pairwise(layers)]
    model, timed = made_up_model(layers, chain), []
    monkeypatch.setattr(costs, "mixed_model", lambda *_, **__: model)
    monkeypatch.setattr(budgeting, "write_int8", lambda path, *, image, keep_float: timed.append((image, keep_float)))

    def time_pruned(ws, dense, pruned, *, provider, finish):
        finish(ws.run.root / "pruned.onnx")
        return Timing(2e-3, 1e-3, Interval(0.5, 0.4, 0.6), ())

    monkeypatch.setattr(budgeting, "time_pruned", time_pruned)
    return model, timed


def test_widths_and_precisions_are_planned_together(ws, both_precisions, tmp_path):
    model, timed = both_precisions
    path = tmp_path / "ratios.yaml"
    found = plan_budget(ws, _request("latency=0.5x", align=2, precision="int8", out=path))
    layers = layers_of(dense_checkpoint(ws).network, torch.zeros(1, 1, 32, 32))
    assert found.dense_cost == model.floats.predict(layers), "the share is that of the dense network in float32"
    small = layers_of(rebuild_checkpoint(dense_checkpoint(ws), found.plan).network, torch.zeros(1, 1, 32, 32))
    assert found.predicted == pytest.approx(model.predict(small) / found.dense_cost) and found.predicted <= 0.5
    ratios = load_ratios(path, levels=1)
    assert ratios.precision == "int8" and ratios.float_layers == found.float_layers == model.times(small).slower()
    assert 0 < len(ratios.float_layers) < len(small)
    assert timed == [((1, 32, 32), ratios.float_layers)], "the very mix is timed"
    table = json.loads(ws.run.planning.target("latency=0.5x").widths.read_text())
    assert table["precision"] == "int8" and table["float_layers"] == list(ratios.float_layers)
    again = rank(ws, dense_checkpoint(ws), ws.config.pruning.but(ratios=ratios))
    assert again.digest == found.plan.digest, "pruning takes the file as it is"


def test_a_layer_in_float_has_the_name_that_it_has_in_the_pruned_network(ws, both_precisions, monkeypatch, tmp_path):
    _losing(monkeypatch, {"encoders.0": 0.0, "decoders.1": 0.0})
    found = plan_budget(ws, _request("latency=0.3x", align=2, precision="int8", depth=True))
    ratios = load_ratios(found.ratios, levels=1)
    assert ratios.single
    small = rebuild_checkpoint(restructured(ws, dense_checkpoint(ws), ratios), found.plan)
    names = {layer.name for layer in layers_of(small.network, torch.zeros(1, 1, 32, 32))}
    assert ratios.float_layers and set(ratios.float_layers) <= names


@pytest.mark.parametrize("text", ["macs=0.5x", "params=0.5x"])
def test_int8_with_a_target_that_it_does_not_change_is_refused(fresh, text):
    with pytest.raises(ConfigError, match="--precision int8 needs a latency"):
        plan_budget(fresh, _request(text, precision="int8"))
    assert not fresh.run.planning.root.exists()


def test_a_plan_in_which_int8_gains_nowhere_is_none(ws, both_precisions, monkeypatch):
    monkeypatch.setattr(
        type(both_precisions[0]),
        "times",
        lambda model, layers: SimpleNamespace(slower=lambda: [x.name for x in layers]),
    )
    with pytest.raises(PlanError, match="Every layer of the planned network is faster in float32"):
        plan_budget(ws, _request("latency=0.6x", align=2, precision="int8"))
    assert not ws.run.planning.target("latency=0.6x").root.exists()


@pytest.mark.parametrize(
    ("chosen", "error", "word"),
    [
        ({"align": "none"}, ConfigError, "aligned"),
        ({"align": None, "provider": "tpu"}, ConfigError, "Known: cpu, cuda"),
    ],
)
def test_refused_before_anything_is_measured(fresh, chosen, error, word):
    with pytest.raises(error, match=word):
        plan_budget(fresh, _request("latency=0.5x", **chosen))
    assert not fresh.run.planning.root.exists()


def test_latency_on_cuda_is_never_taken_from_the_cpu(fresh, monkeypatch):
    """Without CUDA it is not there; with CUDA its layers cannot be timed."""
    with pytest.raises((ProviderError, ConfigError), match="cuda"):
        plan_budget(fresh, _request("latency=0.5x", align=None, provider="cuda"))
    monkeypatch.setattr("compress.steps.planning.latency.prove", lambda name: None)
    with pytest.raises(ConfigError, match="cannot be predicted on 'cuda'"):
        plan_budget(fresh, _request("latency=0.5x", align=None, provider="cuda"))
    assert not fresh.run.planning.root.exists()


def test_one_width_per_stage_is_no_plan(tmp_path):
    settings = ("pruning.keep_nnunet_compatible=true", f"train.paths.save_root={tmp_path}")
    with pytest.raises(ConfigError, match="a width of its own"):
        plan_budget(Workspace(from_document({}, settings)), _request("macs=0.5x"))
