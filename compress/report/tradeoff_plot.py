"""Dice against latency: what each network costs and what it gives, one point per network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compress.errors import DataError
from compress.report.style import INK, MUTED, SERIES_COLOURS, picture

Range = tuple[float, float]

_HALO = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
"""Names stay legible on grid lines and bars."""


@dataclass(frozen=True)
class TradeoffPoint:
    """One network. Intervals are None where there is none to draw."""

    name: str
    latency_s: float
    """Seconds per batch, above 0."""
    dice: float
    latency_range: Range | None = None
    dice_range: Range | None = None
    baseline: bool = False


def tradeoff_plot(
    path: Path, points: Sequence[TradeoffPoint], *, title: str = "Dice against latency", phantom: bool = False
) -> Path:
    """Draw mean 3D Dice against latency on a logarithmic axis, intervals as bars, the baseline as a diamond.

    Each point is labelled with its name, and gives the baseline's Dice a line to be compared with. Returns `path`;
    raises `DataError` without points.
    """
    if not points:
        raise DataError("No networks to draw.", cure="Give at least one.")
    with picture(path, title, size=(8.4, 4.6), phantom=phantom) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        for base in (point for point in points if point.baseline):
            axes.axhline(base.dice, color=MUTED, linewidth=1, linestyle=":", zorder=1)
        for index, point in enumerate(points):
            _draw(axes, point, INK if point.baseline else SERIES_COLOURS[index % len(SERIES_COLOURS)])
        _frame(axes, points)
        _label(axes, points)
    return Path(path)


def _draw(axes: Axes, point: TradeoffPoint, colour: str) -> None:
    x, y = 1e3 * point.latency_s, point.dice
    if point.latency_range is not None:
        low, high = point.latency_range
        axes.hlines(y, 1e3 * low, 1e3 * high, color=colour, linewidth=1.6, alpha=0.7, zorder=2)
    if point.dice_range is not None:
        low, high = point.dice_range
        axes.vlines(x, low, high, color=colour, linewidth=1.6, alpha=0.7, zorder=2)
    axes.plot(x, y, "D" if point.baseline else "o", color=colour, markersize=9, markeredgecolor="white", zorder=4)


def _frame(axes: Axes, points: Sequence[TradeoffPoint]) -> None:
    """Limits with room for the labels, and ticks in plain milliseconds."""
    times = [1e3 * end for p in points for end in (p.latency_s, *(p.latency_range or ()))]
    scores = [end for p in points for end in (p.dice, *(p.dice_range or ()))]
    axes.set_xlim(min(times) / 1.35, max(times) * 1.9)  # names stand to the right of their points
    room = max(0.12 * (max(scores) - min(scores)), 0.004)
    axes.set_ylim(min(scores) - room, min(max(scores) + 1.6 * room, 1.02))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="median latency per batch (ms, logarithmic; left is faster)", ylabel="mean 3D Dice")


def _label(axes: Axes, points: Sequence[TradeoffPoint]) -> None:
    """Names beside their points, above the bars; of points too close to each other the names are stacked."""
    low, high = axes.get_ylim()
    step = 0.05 * (high - low)
    placed: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (-p.dice, p.latency_s)):
        x, y = 1e3 * point.latency_s, point.dice
        near = [other for at, other in placed if 0.4 < at / x < 2.5]
        height = min([y + 0.5 * step, *(other - step for other in near)])
        placed.append((x, height))
        text = f"{point.name} (baseline)" if point.baseline else point.name
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.7} if height < y else None
        axes.annotate(text, (x, y), (x * 1.05, height), va="center", arrowprops=line, bbox=_HALO, zorder=5)
