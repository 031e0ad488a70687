"""Every chart: equal figures give equal bytes, other figures another picture, and a phantom is stamped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from pictures import is_drawn, unet
from PIL import Image

from compress.data.colours import OTHER_COLOURS, STRUCTURE_COLOURS, structure_colours
from compress.errors import DataError, InputError
from compress.evaluate.clinical import Pair
from compress.report import plots
from compress.report.agreement_grid import agreement_grid
from compress.report.box_plot import dice_boxes
from compress.report.forest_plot import ForestRow, forest_plot
from compress.report.schematic import unet_schematic
from compress.report.sensitivity_plot import sensitivity_plot
from compress.report.style import picture
from compress.report.tradeoff_plot import TradeoffPoint, tradeoff_plot

Drawing = Callable[..., Path]
RNG = np.random.default_rng(0)
RECORDS = [
    {"epoch": 1, "train_loss": 1.0, "learning_rate": 1e-3},
    {"epoch": 2, "train_loss": 0.8, "val_dice": 0.4, "val_dice_RV": None, "val_dice_LV": 0.5},
]
SCORES = {f"encoders.{index}.conv1": RNG.random(16) for index in range(5)}
COUNTS, EDGES = np.histogram(RNG.random(50), 8)
ACTIVATIONS = {"bottleneck": {"mean": 0.4, "std": 0.2, "zero_fraction": 0.0, "histogram": (EDGES, COUNTS)}}
LAYERS = [{"name": f"conv{index}", "width": 16, "parameters": 10**index, "macs": 0} for index in range(3)]
RUNS = [
    {"init": init, "seed": seed, "parameters_fraction": share, "ratios": f"set {share}", "dice": 0.8 + 0.1 * share}
    for init in ("none", "rewind")
    for seed in (0, 1)
    for share in (0.25, 0.5)
]
NETWORKS = [
    {"name": "dense", "dice": 0.9, "parameters": 1000, "dice_LV": 0.94},
    {"name": "pruned, random", "dice": 0.85, "parameters": 250, "dice_LV": None},
]
POINTS = [
    TradeoffPoint("dense", 0.021, 0.914, (0.0208, 0.0212), baseline=True),
    TradeoffPoint("$small$", 0.009, 0.909, (0.0088, 0.0092), (0.903, 0.914)),
]
DICE = {"dense": {"RV": [0.9, 0.8], "LV": [0.95, 0.9]}, "small": {"RV": [0.7, 0.8], "LV": [0.9, 0.9]}}
ROWS = [
    ForestRow("Dice RV", "", -0.004, -0.012, 0.003, 0.02, "lower", True),
    ForestRow("HD95 RV", "mm", 0.4, -0.3, 1.2, 1.0, "higher", False),
    ForestRow("LV EF error", "%", None, None, None, 2.0, "higher", False),
]


def pairs(shift: float) -> dict[str, list[Pair]]:
    return {"LV EF": [Pair("a", 50 + shift, 51), Pair("b", 40, 42), Pair("c", 30, 30)], "RV EDV": [Pair("a", 1, 2)]}


def blocks(count: int) -> list[dict[str, object]]:
    ratios = (0.25, 0.9)
    return [{"block": f"decoders.{b}", "ratio": r, "dice": 0.9 - 0.05 * b * r} for b in range(count) for r in ratios]


def drawings(draw: Drawing, *figures: Any, **chosen: Any) -> list[Drawing]:
    return [lambda path, given=given, **more: draw(path, given, **chosen, **more) for given in figures]


def u_net(path: Path, both: tuple[Any, Any], **more: Any) -> Path:
    return unet_schematic(path, *both, **more)


PICTURES: dict[str, Sequence[Drawing]] = {
    "curves": drawings(plots.training_curves, RECORDS, RECORDS[:1]),
    "filters": [
        *drawings(plots.filter_histograms, SCORES, {"conv": np.ones(4)}),
        *drawings(plots.filter_histograms, SCORES, kept={name: scores > 0.5 for name, scores in SCORES.items()}),
    ],
    "activations": drawings(
        plots.activation_distributions, ACTIVATIONS, {**ACTIVATIONS, "head": ACTIVATIONS["bottleneck"]}
    ),
    "layers": drawings(plots.layer_summary, LAYERS, LAYERS[:2]),
    "sweep": [*drawings(plots.sweep_plot, RUNS, RUNS[:4], dense=0.91), *drawings(plots.sweep_plot, RUNS)],
    "comparison": drawings(plots.comparison_plot, NETWORKS, NETWORKS[:1]),
    "sensitivity": [
        *drawings(sensitivity_plot, blocks(3), blocks(4), dense=0.9),
        *drawings(sensitivity_plot, blocks(3), dense=0.8),
    ],
    "tradeoff": drawings(
        tradeoff_plot,
        POINTS,
        [POINTS[0], replace(POINTS[1], dice=0.906)],
        [replace(point, latency_range=None, dice_range=None) for point in POINTS],
        POINTS[:1],
    ),
    "boxes": drawings(
        dice_boxes, DICE, {**DICE, "small": {"RV": [0.6, 0.8], "LV": [0.9, 0.9]}}, {"dense": {"RV": [0.9]}}
    ),
    "agreement": drawings(
        agreement_grid,
        {"dense": pairs(0), "small": pairs(3)},
        {"dense": pairs(0), "small": pairs(4)},
        {"dense": pairs(0)},
    ),
    "forest": drawings(
        forest_plot,
        ROWS,
        [replace(ROWS[0], difference=-0.005), *ROWS[1:]],
        [replace(row, passed=not row.passed) for row in ROWS],
    ),
    "schematic": drawings(
        u_net,
        (unet(2), unet(2, 0.5)),
        (unet(2), None),
        *((unet(levels), unet(levels, share)) for levels in (4, 6) for share in (0.5, 0.25)),
    ),
}
"""What may be drawn; the first is what most tests look at, the others show other figures."""
NOTHING: dict[str, Sequence[Drawing]] = {
    "curves": drawings(plots.training_curves, []),
    "filters": drawings(plots.filter_histograms, {}),
    "activations": drawings(plots.activation_distributions, {}),
    "layers": drawings(plots.layer_summary, []),
    "sweep": drawings(plots.sweep_plot, []),
    "comparison": drawings(plots.comparison_plot, []),
    "sensitivity": drawings(sensitivity_plot, [], dense=0.9),
    "tradeoff": drawings(tradeoff_plot, []),
    "boxes": drawings(dice_boxes, {}, {"a": {"RV": [0.5]}, "b": {"LV": [0.5]}}),
    "agreement": drawings(agreement_grid, {"dense": {"LV EF": [Pair("a", 1, 2)]}}, dict.fromkeys("abc", pairs(0))),
    "forest": drawings(forest_plot, []),
}


@pytest.mark.parametrize("name", PICTURES)
def test_equal_figures_give_equal_bytes_whatever_the_users_style(name: str, tmp_path: Path):
    draw = PICTURES[name][0]
    first = draw(tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        second = draw(tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 20, "the caller's settings come back"
    assert is_drawn(first) and first.read_bytes() == second.read_bytes()
    assert b"Software" not in first.read_bytes()


@pytest.mark.parametrize("name", PICTURES)
def test_other_figures_and_phantoms_are_other_pictures(name: str, tmp_path: Path):
    found = [draw(tmp_path / "a.png").read_bytes() for draw in PICTURES[name]]
    stamped = PICTURES[name][0](tmp_path / "a.png", phantom=True).read_bytes()
    assert len({*found, stamped}) == len(found) + 1


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_draw_is_an_error(name: str, tmp_path: Path):
    for draw in NOTHING[name]:
        with pytest.raises(DataError, match=r"to draw|No blocks|different structures|agreement of [13]"):
            draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_only_png(tmp_path: Path):
    with pytest.raises(InputError, match=r"PNG files, got 'a\.pdf'"):
        plots.layer_summary(tmp_path / "a.pdf", LAYERS)


def test_more_blocks_than_colours_get_more_panels(tmp_path: Path):
    sizes = []
    for count in (6, 7, 16):
        with Image.open(sensitivity_plot(tmp_path / f"{count}.png", blocks(count), dense=0.9)) as picture:
            sizes.append(picture.width)
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize(("worse", "edge"), [("lower", -0.02), ("higher", 0.02)])
def test_the_margin_lies_on_the_bad_side(worse: Any, edge: float):
    assert replace(ROWS[0], worse=worse).edge == edge


def test_known_structures_keep_their_colours():
    colours = structure_colours(["scar", "LV", "MYO"])
    assert colours == {"scar": OTHER_COLOURS[0], "LV": STRUCTURE_COLOURS["LV"], "MYO": STRUCTURE_COLOURS["MYO"]}


def test_a_dollar_is_drawn_as_a_character(tmp_path):
    with picture(tmp_path / "a.png", "a$b$c", size=(4, 2)) as figure:
        (title,) = figure.texts
        assert title.get_text() == "a$b$c" and not title.get_parse_math()
    assert matplotlib.rcParams["text.parse_math"], "the caller's settings come back"


def test_other_warnings_are_still_told(tmp_path):
    with pytest.raises(UserWarning, match="identical low"), picture(tmp_path / "a.png", "t", size=(4, 2)) as figure:
        figure.subplots().set_xlim(1, 1)
