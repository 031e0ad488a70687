"""The plots of the HTML pages: written, reproducible, stamped, and different where the figures are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compress.errors import DataError
from compress.evaluate.clinical import Pair
from compress.report.agreement_grid import agreement_grid
from compress.report.box_plot import dice_boxes
from compress.report.forest_plot import ForestRow, forest_plot
from compress.report.tradeoff_plot import TradeoffPoint, tradeoff_plot

POINTS = [
    TradeoffPoint("dense", 0.021, 0.914, (0.0208, 0.0212), baseline=True),
    TradeoffPoint("$small$", 0.009, 0.909, (0.0088, 0.0092), (0.903, 0.914)),
]
SCORES = {"dense": {"RV": [0.9, 0.8], "LV": [0.95, 0.9]}, "small": {"RV": [0.7, 0.8], "LV": [0.9, 0.9]}}
ROWS = [
    ForestRow("Dice RV", "", -0.004, -0.012, 0.003, 0.02, "lower", True),
    ForestRow("HD95 RV", "mm", 0.4, -0.3, 1.2, 1.0, "higher", False),
    ForestRow("LV EF error", "%", None, None, None, 2.0, "higher", False),
]


def pairs(shift: float) -> dict[str, list[Pair]]:
    return {"LV EF": [Pair("a", 50 + shift, 51), Pair("b", 40, 42), Pair("c", 30, 30)], "RV EDV": [Pair("a", 1, 2)]}


DRAWN: list[tuple[Callable[..., Path], Any, Any]] = [
    (tradeoff_plot, POINTS, [POINTS[0], replace(POINTS[1], dice=0.906)]),
    (dice_boxes, SCORES, {**SCORES, "small": {"RV": [0.6, 0.8], "LV": [0.9, 0.9]}}),
    (agreement_grid, {"dense": pairs(0), "small": pairs(3)}, {"dense": pairs(0), "small": pairs(4)}),
    (forest_plot, ROWS, [replace(ROWS[0], difference=-0.005), *ROWS[1:]]),
]


@pytest.mark.parametrize(("draw", "figures", "others"), DRAWN)
def test_a_plot_follows_its_figures_alone_and_phantoms_are_stamped(draw, figures, others, tmp_path):
    first, second = (draw(tmp_path / name, figures).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    assert draw(tmp_path / "c.png", figures, phantom=True).read_bytes() != first
    assert draw(tmp_path / "d.png", others).read_bytes() != first


def test_intervals_are_drawn(tmp_path):
    bare = [replace(point, latency_range=None, dice_range=None) for point in POINTS]
    with_bars, without = tradeoff_plot(tmp_path / "a.png", POINTS), tradeoff_plot(tmp_path / "b.png", bare)
    assert with_bars.read_bytes() != without.read_bytes()


@pytest.mark.parametrize(("worse", "edge"), [("lower", -0.02), ("higher", 0.02)])
def test_the_margin_lies_on_the_bad_side(worse, edge):
    assert replace(ROWS[0], worse=worse).edge == edge


def test_whether_an_endpoint_passed_is_seen(tmp_path):
    turned = [replace(row, passed=not row.passed) for row in ROWS]
    assert forest_plot(tmp_path / "a.png", ROWS).read_bytes() != forest_plot(tmp_path / "b.png", turned).read_bytes()


def test_one_volume_and_one_network_can_be_drawn(tmp_path):
    assert dice_boxes(tmp_path / "a.png", {"dense": {"RV": [0.9]}}).is_file()
    assert agreement_grid(tmp_path / "b.png", {"dense": pairs(0)}).is_file()
    assert tradeoff_plot(tmp_path / "c.png", POINTS[:1]).is_file()


def test_nothing_to_draw_is_an_error(tmp_path):
    path = tmp_path / "a.png"
    for draw in (lambda: tradeoff_plot(path, []), lambda: dice_boxes(path, {}), lambda: forest_plot(path, [])):
        with pytest.raises(DataError):
            draw()
    with pytest.raises(DataError, match="different structures"):
        dice_boxes(path, {"a": {"RV": [0.5]}, "b": {"LV": [0.5]}})
    with pytest.raises(DataError, match="agreement of 1"):
        agreement_grid(path, {"dense": {"LV EF": [Pair("a", 1, 2)]}})
    with pytest.raises(DataError, match="agreement of 3"):
        agreement_grid(path, dict.fromkeys("abc", pairs(0)))
    assert not path.exists()
