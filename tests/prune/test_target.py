"""What --target may say, and what it means."""

from __future__ import annotations

import pytest

from compress.errors import ConfigError
from compress.prune.target import parse_target

GOOD = {
    "latency=0.1x": ("latency", 0.1, 0.1),
    "latency=5ms": ("latency", 0.005, 0.005 / 0.02),
    "latency=.01s": ("latency", 0.01, 0.5),
    "macs=0.25x": ("macs", 0.25, 0.25),
    "params=0.05x": ("params", 0.05, 0.05),
}


@pytest.mark.parametrize("text", GOOD)
def test_targets(text):
    quantity, value, share = GOOD[text]
    target = parse_target(text)
    assert (target.text, target.quantity) == (text, quantity)
    assert target.value == pytest.approx(value)
    assert target.share(0.02) == pytest.approx(share)


def test_units_of_counts():
    assert parse_target("macs=200M").value == 200e6
    assert parse_target("macs=1.5G").value == 1.5e9
    assert parse_target("params=500k").share(2e6) == 0.25


BAD = {
    "latency=2x": "between 0x and 1x",
    "latency=1x": "between 0x and 1x",
    "params=0x": "between 0x and 1x",
    "latency=0ms": "positive",
    "foo=1": "Known: latency=0.1x",
    "speed=0.5x": "Known: latency=0.1x",
    "0": "Known: latency=0.1x",
    "": "Known: latency=0.1x",
    "latency": "needed: x (share of dense), s, ms",
    "latency=5": "needed: x (share of dense), s, ms",
    "latency=-1ms": "needed: x (share of dense), s, ms",
    "macs=5ms": "needed: x (share of dense), M, G",
    "params=nanx": "needed: x (share of dense), k, M",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_targets(text):
    with pytest.raises(ConfigError) as fault:
        parse_target(text)
    assert BAD[text] in str(fault.value) and f"{text}" in str(fault.value)


def test_a_target_that_dense_meets_already():
    with pytest.raises(ConfigError, match="already meets the target latency=50ms"):
        parse_target("latency=50ms").share(0.05)
