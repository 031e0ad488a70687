"""From a target to widths that really cost what was asked, and to files that reproduce them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from workspace_kit import tiny_workspace

from compress.config.read import load_ratios
from compress.errors import ConfigError, PlanError, ProviderError
from compress.evaluate.interval import Interval
from compress.models.cost import count_macs, count_parameters
from compress.prune.plan import load_plan
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.target import parse_target
from compress.steps.planning import plan as budgeting
from compress.steps.planning.latency import Timing
from compress.steps.planning.plan import BudgetRequest, damage_tables, plan_budget
from compress.steps.planning.sensitivity import BlockScore, Sensitivity, whole_plan
from compress.steps.pruning.ranking import rank
from compress.steps.training.dense import dense_checkpoint


def _request(text: str, **chosen) -> BudgetRequest:
    return BudgetRequest(parse_target(text), **{"align": "none", "slices": 6, **chosen})


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

    def time_pruned(ws, dense, pruned, *, provider):
        timed.append(sum(sum(w) for w in pruned.meta.arguments["widths"].values()))
        return Timing(2e-3, 1e-3, Interval(0.5, 0.4, 0.6), ("busy",))

    monkeypatch.setattr(budgeting, "latency_model", lambda *_, **__: SimpleNamespace(predict=predict))
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
