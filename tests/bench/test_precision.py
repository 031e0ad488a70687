"""Which layers stay in float for the sake of time: the cheapest choice, whatever the times are."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bench.precision import PrecisionTimes, layer_edges, measure_precisions
from compress.export.quantize import calibrate, convolutions, prepare_int8, quantize_int8


def cost(times: PrecisionTimes, in_float: frozenset[str], conversion: float) -> float:
    layers = sum(times.float_s[n] if n in in_float else times.int8_s[n] for n in times.float_s)
    return layers + conversion * sum(s for (a, b), s in times.edges.items() if (a in in_float) != (b in in_float))


@given(st.integers(0, 10_000), st.integers(1, 7), st.sampled_from([0.5, 1.0, 2.0]))
def test_no_other_choice_is_cheaper(seed: int, count: int, conversion: float) -> None:
    rng = np.random.default_rng(seed)
    names = [f"layer{i}" for i in range(count)]
    draw = lambda: dict(zip(names, rng.uniform(1e-5, 2e-3, count), strict=True))  # noqa: E731
    pairs = [pair for pair in itertools.combinations(names, 2) if rng.random() < 0.5]
    times = PrecisionTimes(draw(), draw(), {pair: float(rng.uniform(0, 1e-3)) for pair in pairs})
    chosen = times.slower(conversion=conversion)
    subsets = itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(count + 1))
    least = min(cost(times, frozenset(subset), conversion) for subset in subsets)
    assert cost(times, frozenset(chosen), conversion) == pytest.approx(least, abs=1e-7)
    assert list(chosen) == [name for name in names if name in chosen]


def test_a_layer_that_is_little_slower_stays_among_its_neighbours() -> None:
    edges = {("a", "b"): 0.5, ("b", "c"): 0.5}
    little = PrecisionTimes({"a": 5, "b": 1, "c": 5}, {"a": 2, "b": 1.6, "c": 2}, edges)
    much = PrecisionTimes({"a": 5, "b": 1, "c": 5}, {"a": 2, "b": 2.6, "c": 2}, edges)
    assert (little.slower(), much.slower()) == ((), ("b",))


@pytest.fixture(scope="module")
def int8(sealed_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precision")
    images = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    ranges = calibrate(prepare_int8(sealed_path, folder / "prepared.onnx"), images, method="minmax", folder=folder)
    return quantize_int8(ranges, folder / "int8.onnx")


def test_edges_follow_pools_and_skips(sealed_path: Path, int8: Path) -> None:
    names = convolutions(sealed_path)
    edges = layer_edges(onnx.load(int8), names)
    assert edges[("encoders.0.conv1", "encoders.0.conv2")] == 1
    assert edges[("encoders.0.conv2", "encoders.1.conv1")] == 4, "through a pool"
    assert edges[("encoders.0.conv2", "decoders.3.conv1")] == 1, "beside it"
    assert edges[("decoders.2", "decoders.3.conv1")] == 1
    assert {reader for _, reader in edges} == set(names) - {"encoders.0.conv1"}


def test_every_layer_is_timed_in_both_precisions(sealed_path: Path, int8: Path) -> None:
    times = measure_precisions(sealed_path, int8, size=(32, 32), threads=1, rounds=2)
    assert list(times.float_s) == list(times.int8_s) == convolutions(sealed_path)
    assert min(*times.float_s.values(), *times.int8_s.values()) >= 0 and len(times.edges) == 14
    assert set(times.slower()) <= set(times.float_s)
