"""Charts of training, pruning and evaluation. Every function writes one PNG and returns its path.

All raise `DataError` when there is nothing to draw, and take `phantom=True` to stamp pictures of synthetic data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compress.data.colours import structure_colours
from compress.errors import DataError
from compress.report.style import (
    ACCENT,
    FAINT,
    INK,
    MARKERS,
    MUTED,
    SERIES_COLOURS,
    bars,
    picture,
)
from compress.text import si

Row = Mapping[str, Any]
_DICE = "val_dice_"


def training_curves(path: Path, records: Sequence[Row], *, phantom: bool = False) -> Path:
    """Loss, validation Dice (mean and per structure) and learning rate per epoch.

    `records`: one mapping per epoch with `epoch` and any of `train_loss`, `val_dice`, `val_dice_<name>`
    and `learning_rate`; a value that is missing or None leaves a gap.
    """
    _need(records, "epochs")
    names = list(dict.fromkeys(key.removeprefix(_DICE) for row in records for key in row if key.startswith(_DICE)))
    with picture(path, "Training curves", size=(12, 3.9), phantom=phantom) as figure:
        loss, score, rate = figure.subplots(1, 3)
        _curve(loss, records, "train_loss", label="training", color=SERIES_COLOURS[0])
        for name, colour in structure_colours(names).items():
            _curve(score, records, _DICE + name, label=name, color=colour, linewidth=1.4)
        _curve(score, records, "val_dice", label="mean", color=INK, linewidth=2.2)
        _curve(rate, records, "learning_rate", color=SERIES_COLOURS[4])
        score.set_ylim(0, 1)
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        for axes, name in (
            (loss, "Loss"),
            (score, "Validation Dice"),
            (rate, "Learning rate (epoch's start)"),
        ):
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(min(row["epoch"] for row in records) - 0.5, max(row["epoch"] for row in records) + 0.5)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="best")
    return Path(path)


def filter_histograms(
    path: Path,
    scores: Mapping[str, np.ndarray],
    *,
    kept: Mapping[str, np.ndarray] | None = None,
    title: str = "Filter importance per layer",
    phantom: bool = False,
) -> Path:
    """One histogram per layer of its filters' scores (1D); with `kept` (boolean masks) kept and removed are stacked."""
    _need(scores, "layers")
    kept = kept or {}
    columns = min(4, len(scores))
    with picture(
        path, title, size=(max(2.9 * columns, 6), 0.9 + 2.0 * -(-len(scores) // columns)), phantom=phantom
    ) as figure:
        grid = figure.subplots(-(-len(scores) // columns), columns, squeeze=False).ravel()
        for axes, (layer, values) in zip(grid, scores.items(), strict=False):
            _histogram(axes, layer, np.asarray(values, dtype=float), kept.get(layer))
        for axes in grid[len(scores) :]:
            axes.set_axis_off()
        figure.supxlabel("score", fontsize=9)
        figure.supylabel("filters", fontsize=9)
        if kept:
            patches = [Patch(color=ACCENT, label="kept"), Patch(color=FAINT, label="removed")]
            figure.legend(handles=patches, loc="outside lower right", ncols=2)
    return Path(path)


def activation_distributions(
    path: Path, layers: Mapping[str, Row], *, title: str = "Activations per layer", phantom: bool = False
) -> Path:
    """Per layer the distribution of activations, mean and SD, and the share of exact zeros.

    `layers`: layer name to `{"mean", "std", "zero_fraction": numbers, "histogram": (edges (n + 1), counts (n))}`.
    """
    _need(layers, "layers")
    names = list(layers)
    with picture(path, title, size=(11, 1.3 + 0.36 * len(names)), phantom=phantom) as figure:
        shape, spread, zeros = figure.subplots(1, 3, sharey=True, width_ratios=(2.2, 1.2, 1))
        for index, row in enumerate(layers.values()):
            _ridge(shape, index, *row["histogram"])
        rows = np.arange(len(names))
        mean, sd, zero = (
            np.array([float(row[key]) for row in layers.values()]) for key in ("mean", "std", "zero_fraction")
        )
        spread.errorbar(mean, rows, xerr=sd, fmt="o", color=ACCENT, ecolor=MUTED, markersize=4, elinewidth=1.2)
        bars(zeros, 100 * zero, [f"{100 * value:.0f}%" for value in zero], colour=SERIES_COLOURS[4])
        zeros.set_xlim(0, 118)
        zeros.set_xticks([0, 50, 100])
        for axes, name in ((shape, "Distribution"), (spread, "Mean ± SD"), (zeros, "Zeros (%)")):
            axes.set(title=name)
        shape.set_xlabel("activation (height: square root of the count, scaled per layer)")
        shape.set_yticks(rows, names)
        shape.set_ylim(len(names) - 0.4, -1.0)
    return Path(path)


def layer_summary(path: Path, rows: Sequence[Row], *, title: str = "Cost per layer", phantom: bool = False) -> Path:
    """Bars of width, parameters and MACs per layer; `rows` hold `name`, `width`, `parameters` and `macs`."""
    _need(rows, "layers")
    panels = (("width", "Width (channels)"), ("parameters", "Parameters"), ("macs", "MACs"))
    with picture(path, title, size=(11, 1.3 + 0.27 * len(rows)), phantom=phantom) as figure:
        for axes, (key, name), colour in zip(
            figure.subplots(1, 3, sharey=True), panels, SERIES_COLOURS[:1] + SERIES_COLOURS[3:], strict=False
        ):
            values = np.array([float(row[key]) for row in rows])
            bars(axes, values, [f"{value:.0f}" if key == "width" else si(value) for value in values], colour=colour)
            axes.set_title(name if key == "width" else f"{name}, total {si(values.sum())}")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_xlim(0, 1.2 * max(float(values.max()), 1e-9))
        figure.axes[0].set_yticks(range(len(rows)), [str(row["name"]) for row in rows])
        figure.axes[0].set_ylim(len(rows) - 0.4, -0.6)
    return Path(path)


def sweep_plot(
    path: Path,
    rows: Sequence[Row],
    *,
    dense: float | None = None,
    phantom: bool = False,
) -> Path:
    """Dice against size, one series per way to restart: a point per seed, a line through the means.

    `rows` hold `init` (keep, random, rewind, ...), `dice` and `parameters_fraction`. `dense` draws the unpruned
    network's Dice.
    """
    _need(rows, "runs")
    with picture(path, "Dice against size", size=(7.5, 4.6), phantom=phantom) as figure:
        axes = figure.subplots()
        series = list(dict.fromkeys(str(row["init"]) for row in rows))
        for index, name in enumerate(series):
            own = [row for row in rows if str(row["init"]) == name]
            places = [float(row["parameters_fraction"]) for row in own]
            _series(axes, places, [float(row["dice"]) for row in own], name, index)
        if dense is not None:
            axes.axhline(dense, color=INK, linewidth=1.2, linestyle=":", label=f"dense ({dense:.3f})")
        axes.set(xlabel="parameters kept (fraction of dense)", ylabel="mean 3D Dice")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(6, len(series) + 1))
    return Path(path)


def comparison_plot(path: Path, rows: Sequence[Row], *, phantom: bool = False) -> Path:
    """Dice (mean, and per structure where given) and number of parameters, one line per network.

    `rows` hold `name`, `dice` and `parameters`, optionally `dice_<structure>`.
    Dice is drawn as points, not bars, because its axis does not start at zero.
    """
    _need(rows, "networks")
    names = list(dict.fromkeys(key[5:] for row in rows for key in row if key.startswith("dice_")))
    with picture(path, "Dense against pruned", size=(10.5, 1.5 + 0.52 * len(rows)), phantom=phantom) as figure:
        score, size = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        for name, colour in structure_colours(names).items():
            known = [index for index, row in enumerate(rows) if row.get(f"dice_{name}") is not None]
            values = [float(rows[index][f"dice_{name}"]) for index in known]
            score.scatter(values, known, s=34, color=colour, label=name, zorder=3)
        for index, row in enumerate(rows):
            _mean_point(score, row, index)
        score.set(title="3D Dice", yticks=range(len(rows)), yticklabels=[str(row["name"]) for row in rows])
        score.set_ylim(len(rows) - 0.4, -0.75)
        score.margins(x=0.08)
        parameters = np.array([float(row["parameters"]) for row in rows])
        texts = [f"{si(value)} ({value / parameters.max():.0%})" for value in parameters]
        bars(size, parameters, texts, colour=SERIES_COLOURS[3])
        size.set_title("Parameters (share of the largest)")
        size.set_xlim(0, 1.5 * parameters.max())
        size.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
        figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=len(names) + 1)
    return Path(path)


def _need(values: Sequence[Any] | Mapping[str, Any], kind: str) -> None:
    if not values:
        raise DataError(f"No {kind} to draw.", cure="Give at least one.")


def _curve(axes: Axes, records: Sequence[Row], key: str, **style: Any) -> None:
    """Draw `key` over the epochs that have it; few points get markers, or a single one would be invisible."""
    points = [(row["epoch"], row[key]) for row in records if row.get(key) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), marker="o" if len(points) < 12 else None, markersize=3.5, **style)


def _histogram(axes: Axes, layer: str, values: np.ndarray, kept: np.ndarray | None) -> None:
    edges = np.histogram_bin_edges(values, bins=min(30, max(8, len(values) // 4)))
    parts, colours = [values], [ACCENT]
    if kept is not None:
        mask = np.asarray(kept, dtype=bool)
        parts, colours = [values[~mask], values[mask]], [FAINT, ACCENT]
    axes.hist(parts, bins=list(edges), stacked=True, color=colours, edgecolor="white", linewidth=0.3)
    share = f"{int(np.sum(kept))} of {len(values)}" if kept is not None else f"{len(values)}"
    axes.set_title(f"{layer} ({share})", fontsize=8.5)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _ridge(axes: Axes, row: int, edges: Sequence[float], counts: Sequence[float]) -> None:
    """One histogram as a hill standing on line `row` of an upside-down axis."""
    # Square roots keep the tail visible beside the spike of zeros that a ReLU leaves.
    heights = 0.9 * np.sqrt(np.asarray(counts, dtype=float) / max(float(np.max(counts)), 1e-12))
    axes.stairs(row - heights, edges, baseline=row, fill=True, color=ACCENT, alpha=0.6, zorder=3)
    axes.stairs(row - heights, edges, baseline=row, color=ACCENT, linewidth=0.8, zorder=3)


def _series(axes: Axes, places: list[float], scores: list[float], name: str, index: int) -> None:
    colour, marker = SERIES_COLOURS[index % len(SERIES_COLOURS)], MARKERS[index % len(MARKERS)]
    axes.scatter(places, scores, s=26, marker=marker, color=colour, alpha=0.45, linewidth=0, zorder=3)
    known = sorted(set(places))
    means = [np.mean([score for place, score in zip(places, scores, strict=True) if place == at]) for at in known]
    axes.plot(known, means, marker=marker, markersize=6, color=colour, label=name, linewidth=1.6, zorder=4)


def _mean_point(axes: Axes, row: Row, index: int) -> None:
    label = "mean" if index == 0 else None
    axes.scatter(row["dice"], index, marker="D", s=36, color=INK, label=label, zorder=4)
    axes.annotate(
        f"{row['dice']:.3f}", (row["dice"], index), (0, 8), textcoords="offset points", ha="center", fontsize=8
    )
