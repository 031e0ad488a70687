"""Every chart is drawn from tiny data, with and without the phantom stamp."""

import matplotlib
import numpy as np
import pytest

from compress.data.colours import OTHER_COLOURS, STRUCTURE_COLOURS, structure_colours
from compress.errors import DataError, InputError
from compress.report import plots
from compress.report.style import picture
from compress.text import si

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
    {
        "init": init,
        "seed": seed,
        "parameters_fraction": fraction,
        "ratios": f"set {fraction}",
        "dice": 0.8 + 0.1 * fraction,
    }
    for init in ("none", "rewind")
    for seed in (0, 1)
    for fraction in (0.25, 0.5)
]
NETWORKS = [
    {"name": "dense", "dice": 0.9, "parameters": 1000, "dice_LV": 0.94},
    {"name": "pruned, random", "dice": 0.85, "parameters": 250, "dice_LV": None},
]
PAIRS = [("a", 10.0, 12.0), ("b", 20.0, 19.0), ("c", 30.0, 33.0)]

DRAWINGS = {
    "curves": lambda path, **k: plots.training_curves(path, RECORDS, **k),
    "one epoch": lambda path, **k: plots.training_curves(path, RECORDS[:1], **k),
    "filters": lambda path, **k: plots.filter_histograms(path, SCORES, **k),
    "kept": lambda path, **k: plots.filter_histograms(path, SCORES, kept={n: s > 0.5 for n, s in SCORES.items()}, **k),
    "equal scores": lambda path, **k: plots.filter_histograms(path, {"conv": np.ones(4)}, **k),
    "activations": lambda path, **k: plots.activation_distributions(path, ACTIVATIONS, **k),
    "layers": lambda path, **k: plots.layer_summary(path, LAYERS, **k),
    "sweep": lambda path, **k: plots.sweep_plot(path, RUNS, dense=0.91, **k),
    "comparison": lambda path, **k: plots.comparison_plot(path, NETWORKS, **k),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_drawn_with_the_stamp(draw, tmp_path):
    path = draw(tmp_path / "picture.png", phantom=True)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 8_000
    assert b"Software" not in data


def test_equal_data_gives_equal_bytes_whatever_the_users_style(tmp_path):
    first = plots.sweep_plot(tmp_path / "a.png", RUNS).read_bytes()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        second = plots.sweep_plot(tmp_path / "b.png", RUNS).read_bytes()
        assert matplotlib.rcParams["font.size"] == 20  # the caller's settings come back
    assert first == second
    assert plots.sweep_plot(tmp_path / "c.png", RUNS, phantom=True).read_bytes() != first


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plots.training_curves(path, []),
        lambda path: plots.filter_histograms(path, {}),
        lambda path: plots.activation_distributions(path, {}),
        lambda path: plots.layer_summary(path, []),
        lambda path: plots.sweep_plot(path, []),
        lambda path: plots.comparison_plot(path, []),
    ],
)
def test_nothing_to_draw_is_an_error(draw, tmp_path):
    with pytest.raises(DataError, match="to draw"):
        draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_only_png(tmp_path):
    with pytest.raises(InputError, match=r"PNG files, got 'a\.pdf'"):
        plots.layer_summary(tmp_path / "a.pdf", LAYERS)


def test_a_dollar_is_drawn_as_a_character(tmp_path):
    with picture(tmp_path / "a.png", "a$b$c", size=(4, 2)) as figure:
        (title,) = figure.texts
        assert title.get_text() == "a$b$c" and not title.get_parse_math()
    assert matplotlib.rcParams["text.parse_math"], "the caller's settings come back"


def test_other_warnings_are_still_told(tmp_path):
    with pytest.raises(UserWarning, match="identical low"), picture(tmp_path / "a.png", "t", size=(4, 2)) as figure:
        figure.subplots().set_xlim(1, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (64, "64"), (999.96e3, "1M"), (1_940_000, "1.94M"), (43.9e6, "43.9M"), (1.5e9, "1.5G")],
)
def test_si(value, text):
    assert si(value) == text


def test_known_structures_keep_their_colours():
    colours = structure_colours(["scar", "LV", "MYO"])
    assert colours == {"scar": OTHER_COLOURS[0], "LV": STRUCTURE_COLOURS["LV"], "MYO": STRUCTURE_COLOURS["MYO"]}
