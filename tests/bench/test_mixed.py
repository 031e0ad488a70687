"""Latency of a mix of precisions at any widths: the cheapest of all mixes, whatever the times are."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latency_kit import LAYERS, made_up_model

from compress.bench.choices import Choices
from compress.bench.mixed import MixedModel, spread, without
from compress.models.layers import Layer


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_no_choice_is_cheaper_and_one_costs_that(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    edges = [pair for pair in itertools.combinations(range(count), 2) if rng.random() < 0.6]
    alone = [(float(a), float(b)) for a, b in rng.uniform(0, 1, (count, 2))]
    apart = rng.uniform(0, 1, len(edges)).tolist()
    sums = [
        sum(alone[node][value] for node, value in enumerate(chosen))
        + sum(cost for (a, b), cost in zip(edges, apart, strict=True) if chosen[a] != chosen[b])
        for chosen in itertools.product((0, 1), repeat=count)
    ]
    assert Choices(count, edges).least(alone, apart) == pytest.approx(min(sums))


def test_what_reads_a_layer_that_is_gone_reads_what_came_before_it() -> None:
    edges = [("a", "b", 4), ("b", "c", 1), ("b", "d", 4), ("a", "d", 1)]
    assert set(without(edges, {"b"})) == {("a", "d", 1), ("a", "c", 4), ("a", "d", 16)}
    assert without(edges, set()) == tuple(edges)


def test_a_transposed_layer_without_overlap_is_a_plain_one_of_as_much_work() -> None:
    up = Layer("up", "transposed", 16, 8, 4, 400, 1, 100)
    assert spread(up) == Layer("up", "conv", 16, 32, 1, 100, 1, 100)
    assert spread(up).macs == up.macs and spread(up).outputs * spread(up).positions == up.outputs * up.positions
    overlapping = Layer("up", "transposed", 16, 8, 9, 400, 1, 100)
    assert spread(overlapping) == overlapping


@pytest.mark.parametrize("gone", [(), ("second",)])
def test_a_prediction_is_the_sum_of_the_layers_in_their_best_mix(gone: tuple[str, ...]) -> None:
    model = made_up_model()
    layers = [layer for layer in LAYERS if layer.name not in gone]
    times = model.times(layers)
    in_float = set(times.slower())
    assert in_float == {"first"}, "a wide image with few channels is slower in INT8"
    alone = sum(times.float_s[n] if n in in_float else times.int8_s[n] for n in times.float_s)
    between = sum(s for (a, b), s in times.edges.items() if (a in in_float) != (b in in_float))
    assert model.predict(layers) == pytest.approx(model.int8.overhead + alone + between, rel=1e-4)
    assert set(times.float_s) == {layer.name for layer in layers}


def test_json_keeps_the_model() -> None:
    model = made_up_model()
    again = MixedModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again == model and again.predict(LAYERS) == model.predict(LAYERS)


def test_the_worse_precision_says_how_far_to_trust_it() -> None:
    good, bad = SimpleNamespace(largest_error=0.01), SimpleNamespace(largest_error=0.3)
    assert MixedModel(good, bad, 0.0, ()).largest_error == 0.3  # type: ignore[arg-type]
