from __future__ import annotations

import os

import numpy as np
import pytest

from compress.bench.latency import SEED, LatencySamples, cpu_clock_of, measure_latency
from compress.errors import ConfigError

SHAPE = (2, 1, 4, 4)


class Machine:
    """A clock that only fake models advance; `slowdown` is how much slower it gets with every run."""

    def __init__(self, slowdown: float = 0.0) -> None:
        self.now = 0.0
        self.speed = 1.0
        self.slowdown = slowdown
        self.calls: list[str] = []

    def model(self, name: str, seconds: float) -> Model:
        return Model(self, name, seconds)


class Model:
    def __init__(self, machine: Machine, name: str, seconds: float) -> None:
        self.machine, self.name, self.seconds = machine, name, seconds
        self.images: list[np.ndarray] = []

    def run(self, images: np.ndarray) -> np.ndarray:
        self.machine.calls.append(self.name)
        self.machine.now += self.seconds * self.machine.speed
        self.machine.speed += self.machine.slowdown
        self.images.append(images)
        return images


def _measure(machine: Machine, *, rounds: int, warmup: int = 1, **seconds: float) -> LatencySamples:
    models = {name: machine.model(name, value) for name, value in seconds.items()}
    return measure_latency(models, shape=SHAPE, rounds=rounds, warmup=warmup, clock=lambda: machine.now)


def test_times_are_those_of_the_models() -> None:
    found = _measure(Machine(), rounds=3, dense=0.2, small=0.1)
    assert found.baseline == "dense"
    assert list(found.samples) == ["dense", "small"]
    assert found.samples["small"] == pytest.approx((0.1, 0.1, 0.1))
    assert found.control == pytest.approx((0.2, 0.2, 0.2))
    assert found.speedup("small").median == pytest.approx(2.0)
    assert found.speedup("dense").median == 1.0


def test_the_order_is_reversed_every_round_and_warmup_is_not_timed() -> None:
    machine = Machine()
    _measure(machine, rounds=2, warmup=2, a=1, b=1)
    assert machine.calls == ["a", "b", "a", "b", "a", "b", "a", "a", "b", "a"]


def test_a_machine_that_slows_down_does_not_change_the_ratio() -> None:
    found = _measure(Machine(slowdown=0.01), rounds=100, dense=0.2, small=0.1)
    assert found.samples["dense"][-1] > 3 * found.samples["dense"][0]
    assert found.speedup("small").median == pytest.approx(2.0, rel=0.02)
    assert found.control_ratio.median == pytest.approx(1.0, rel=0.02)


def test_every_model_sees_the_same_seeded_images() -> None:
    machine = Machine()
    models = {name: machine.model(name, 1.0) for name in "ab"}
    measure_latency(models, shape=SHAPE, rounds=1, clock=lambda: machine.now)
    expected = np.random.default_rng(SEED).standard_normal(SHAPE).astype(np.float32)
    for model in models.values():
        assert all(np.array_equal(images, expected) for images in model.images)


def test_runs_without_copies_are_timed_in_the_same_rounds() -> None:
    machine = Machine()
    models = {"dense": machine.model("dense", 0.2), "small": machine.model("small", 0.1)}
    bare = machine.model("bare", 0.05)
    found = measure_latency(
        models,
        shape=SHAPE,
        rounds=2,
        warmup=1,
        on_device=lambda name, images: (lambda: bare.run(images)) if name == "small" else None,
        clock=lambda: machine.now,
    )
    assert machine.calls[:3] == ["dense", "small", "bare"], "warm-up"
    assert machine.calls[3:] == ["dense", "small", "dense", "bare", "bare", "dense", "small", "dense"]
    assert found.device == {"small": pytest.approx((0.05, 0.05))}
    assert found.samples["small"] == pytest.approx((0.1, 0.1))
    assert found.control == pytest.approx((0.2, 0.2))


def _samples(series: list[float], control: list[float]) -> LatencySamples:
    return LatencySamples(SHAPE, "dense", {"dense": tuple(series)}, tuple(control))


def test_a_quiet_machine_gives_no_warning() -> None:
    assert _samples([1.0] * 64, [1.01] * 64).warnings == ()


def test_warnings_are_data() -> None:
    (busy,) = _samples([1.0] * 64, [1.2] * 64).warnings
    assert "differs from itself by a factor of 0.833" in busy
    (few,) = _samples([1.0] * 63, [1.0] * 63).warnings
    assert few == "No 90th percentile: 63 rounds, 64 are needed."
    (unsteady,) = _samples([1.0, 2.0] * 32, [1.0, 2.0] * 32).warnings
    assert unsteady.startswith("Unsteady times of dense: the middle half spans 67%")


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"warmup": 0}])
def test_nothing_to_measure_is_an_error(wrong: dict[str, int]) -> None:
    arguments = {"rounds": 1, "warmup": 1, **wrong}
    with pytest.raises(ConfigError, match="Latency needs a model"):
        measure_latency({"a": Machine().model("a", 1.0)}, shape=SHAPE, **arguments)
    with pytest.raises(ConfigError, match="got 0 model"):
        measure_latency({}, shape=SHAPE)


class Waiting:
    """A model that computes for `seconds` of every `wall` seconds, on a machine whose two clocks it advances."""

    def __init__(self, clocks: dict[str, float], seconds: float, walls: list[float]) -> None:
        self.clocks, self.seconds, self.walls = clocks, seconds, iter(walls)

    def run(self, images: np.ndarray) -> np.ndarray:
        self.clocks["cpu"] += self.seconds
        self.clocks["wall"] += next(self.walls)
        return images


def _waited(monkeypatch: pytest.MonkeyPatch, *, load: float, wall: float = 0.04, rounds: int = 64) -> LatencySamples:
    """Dense 40 ms, small 20 ms of processor; every `wall` seconds long, or drawn around it."""
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    clocks = {"cpu": 0.0, "wall": 0.0}
    rng = np.random.default_rng(0)
    walls = [list(wall * share * rng.uniform(1, 1 + 5 * (wall > 0.05), 3 * rounds)) for share in (1, 0.5)]
    models = {"dense": Waiting(clocks, 0.04, walls[0]), "small": Waiting(clocks, 0.02, walls[1])}
    return measure_latency(
        models,
        shape=SHAPE,
        rounds=rounds,
        warmup=1,
        clock=lambda: clocks["wall"],
        cpu_clock=lambda: clocks["cpu"],
    )


def test_processor_times_are_kept_beside_the_walls(monkeypatch) -> None:
    found = _waited(monkeypatch, load=0.3)
    assert found.cpu["small"] == pytest.approx([0.02] * 64) and found.cpu_control == pytest.approx([0.04] * 64)
    assert (found.load, found.busy, found.by_cpu, found.warnings) == (0.3, False, False, ())


def test_a_busy_machine_is_said_and_processor_times_decide(monkeypatch) -> None:
    found = _waited(monkeypatch, load=10.2, wall=0.155)
    assert found.busy and found.by_cpu
    assert found.control_ratio.median == pytest.approx(1.0)
    assert found.speedup("small").median == pytest.approx(2.0)
    said = " ".join(found.warnings)
    assert "The machine was busy (load 10.2 on " in said and "for 40.0 ms of processor time" in said
    assert "Ratios are those of processor times" in said and "differs from itself" not in said


def test_waiting_shows_also_where_no_load_is_told(monkeypatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    clocks = {"cpu": 0.0, "wall": 0.0}
    model = Waiting(clocks, 0.04, [0.155] * 9)
    found = measure_latency(
        {"a": model}, shape=SHAPE, rounds=4, warmup=1, clock=lambda: clocks["wall"], cpu_clock=lambda: clocks["cpu"]
    )
    assert found.load is None and found.busy
    assert found.warnings[0].startswith("The machine was busy: wall times are longer")


def test_a_graphics_card_has_no_processor_time() -> None:
    assert cpu_clock_of("cuda") is None and cpu_clock_of("cpu") is not None and cpu_clock_of("openvino") is not None
