"""Sensitivity: one block at a time, training slices only, resumed where it stopped."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pictures import is_drawn
from workspace_kit import tiny_workspace

from compress.data.prepared import Prepared
from compress.data.preprocess import Geometry
from compress.errors import CheckpointError, DataError
from compress.steps.planning import sensitivity as step
from compress.steps.planning.sensitivity import held_in, measure_sensitivity

BLOCKS = ["encoders.0", "bottleneck", "decoders.0", "decoders.1"]
RATIOS = (0.5, 0.9)


@pytest.fixture
def ws(tmp_path, tiny_phantom):
    return tiny_workspace(tmp_path, tiny_phantom)


def _count(monkeypatch, *, fail_at: int | None = None) -> list[float]:
    """Every score that is computed from now on; the one with index `fail_at` is interrupted."""
    scores, real = [], step.grid_dice

    def counted(*args, **kwargs):
        if len(scores) == fail_at:
            raise KeyboardInterrupt
        found = real(*args, **kwargs)
        scores.append(found["mean"])
        return found

    monkeypatch.setattr(step, "grid_dice", counted)
    return scores


def test_every_block_at_every_ratio_and_nothing_but_that_block(ws):
    found = measure_sensitivity(ws, slices=6, ratios=RATIOS)
    assert [(r.block, r.ratio) for r in found.rows] == [(b, r) for b in BLOCKS for r in RATIOS]
    assert all(0 <= r.dice <= 1 for r in found.rows)
    kept = {(r.block, r.ratio): r.kept for r in found.rows}
    assert kept["encoders.0", 0.5] == {"encoders.0.conv1": 2, "encoders.0.conv2": 2}
    assert kept["decoders.1", 0.5].keys() == {"decoders.1.conv1", "decoders.1.conv2"}
    assert kept["decoders.0", 0.9] == {"decoders.0": 1}
    assert found.phantom and is_drawn(found.plot)


def test_removing_nothing_costs_nothing(ws):
    found = measure_sensitivity(ws, slices=6, ratios=(0.0,))
    assert {r.dice for r in found.rows} == {found.dense_dice}


def test_validation_patients_are_never_read(ws, monkeypatch):
    ws.describe()  # a run that has not begun reads all of its data once, for faults
    seen, real = set(), ws.prepared
    monkeypatch.setattr(ws, "prepared", lambda studies: seen.update(s.patient for s in studies) or real(studies))
    measure_sensitivity(ws, slices=6, ratios=(0.5,))
    assert seen == set(ws.split.train) and not seen & set(ws.split.val)


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, tiny_phantom, monkeypatch):
    whole = tiny_workspace(tmp_path / "whole", tiny_phantom)
    expected = measure_sensitivity(whole, slices=6, ratios=RATIOS)
    ws = tiny_workspace(tmp_path / "halved", tiny_phantom)
    with monkeypatch.context() as patch:
        _count(patch, fail_at=4)
        with pytest.raises(KeyboardInterrupt):
            measure_sensitivity(ws, slices=6, ratios=RATIOS)
    assert len(json.loads(ws.run.planning.sensitivity.read_text())["scores"]) == 3
    with monkeypatch.context() as patch:
        scores = _count(patch)
        resumed = measure_sensitivity(ws, slices=6, ratios=RATIOS)
        assert len(scores) == len(BLOCKS) * len(RATIOS) - 3
        drawn = resumed.plot.stat().st_mtime_ns
        assert measure_sensitivity(ws, slices=6, ratios=RATIOS) == resumed
        assert len(scores) == len(BLOCKS) * len(RATIOS) - 3
        assert resumed.plot.stat().st_mtime_ns == drawn
    assert dataclasses.replace(resumed, plot=expected.plot) == expected
    files = [w.run.planning.sensitivity.read_bytes() for w in (whole, ws)]
    assert files[0] == files[1]


def test_another_network_or_other_slices_are_scored_anew(ws, tmp_path, tiny_phantom, monkeypatch):
    measure_sensitivity(ws, slices=6, ratios=(0.5,))
    scores = _count(monkeypatch)
    measure_sensitivity(ws, slices=5, ratios=(0.5,))
    assert len(scores) == len(BLOCKS) + 1
    other = tiny_workspace(tmp_path, tiny_phantom, seed=1)
    measure_sensitivity(other, slices=5, ratios=(0.5,))
    assert len(scores) == 2 * (len(BLOCKS) + 1)


def test_without_a_dense_network(ws):
    ws.run.baseline.final.unlink()
    with pytest.raises(CheckpointError, match="No checkpoint"):
        measure_sensitivity(ws)
    assert not ws.run.planning.root.exists()


def _volume(slices: int, start: int, *, mask: bool = True) -> Prepared:
    values = np.arange(start, start + slices, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    return Prepared(values, values.astype(np.uint8) if mask else None, Geometry((2, 2), (2, 2), (2, 2)))


def test_held_in_slices_are_spread_over_all_volumes():
    volumes = [_volume(4, 0), _volume(6, 4)]
    held = held_in(volumes, 5)
    assert held.images[:, 0, 0].tolist() == held.mask[:, 0, 0].tolist() == [1, 3, 5, 7, 9]
    assert len(held_in(volumes, 100).images) == 10
    with pytest.raises(DataError, match="mask"):
        held_in([_volume(4, 0, mask=False)], 2)
