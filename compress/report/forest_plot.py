"""A forest plot of the gate: each endpoint's difference with its interval, beside the margin that it must keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from compress.errors import DataError
from compress.report.style import MUTED, SERIES_COLOURS, picture

PASSED, FAILED = SERIES_COLOURS[3], SERIES_COLOURS[1]
_SHADE = "#FBE3EA"
_WORDS = {
    "": "Dice",
    "mm": "HD95 (mm)",
    "%": "ejection fraction (percentage points)",
    "ml": "volume (ml)",
    "g": "mass (g)",
}


@dataclass(frozen=True)
class ForestRow:
    """One endpoint. `difference` is candidate - baseline in `unit`; None where nothing could be compared."""

    name: str
    unit: str
    difference: float | None
    low: float | None
    high: float | None
    margin: float
    """Above 0, in `unit`."""
    worse: Literal["lower", "higher"]
    """The direction that is bad."""
    passed: bool

    @property
    def edge(self) -> float:
        """Where the margin lies on the axis of differences."""
        return -self.margin if self.worse == "lower" else self.margin


def forest_plot(
    path: Path, rows: Sequence[ForestRow], *, title: str = "Differences and their margins", phantom: bool = False
) -> Path:
    """Draw one line per endpoint, one panel per unit because scales differ; what lies beyond a margin is shaded.

    Marks differ in shape as well as in colour: a circle passed, a cross did not. Returns `path`; raises `DataError`
    without rows.
    """
    if not rows:
        raise DataError("No endpoints to draw.", cure="Give at least one.")
    panels = [[row for row in rows if row.unit == unit] for unit in dict.fromkeys(row.unit for row in rows)]
    size = (9, 0.95 + sum(0.62 + 0.3 * len(panel) for panel in panels))
    with picture(path, title, size=size, phantom=phantom) as figure:
        heights = [len(panel) + 0.6 for panel in panels]
        for axes, panel in zip(
            figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0], panels, strict=True
        ):
            _panel(axes, panel)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return Path(path)


def _panel(axes: Axes, rows: Sequence[ForestRow]) -> None:
    ends = [end for row in rows for end in (row.low, row.high, row.difference, row.edge, 0.0) if end is not None]
    room = 0.12 * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, row in enumerate(rows):
        _draw(axes, place, row)
    unit = rows[0].unit
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_title(_WORDS.get(unit, unit), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", visible=False)


def _draw(axes: Axes, place: int, row: ForestRow) -> None:
    outer = axes.get_xlim()[0 if row.worse == "lower" else 1]
    axes.add_patch(Rectangle((row.edge, place - 0.4), outer - row.edge, 0.8, facecolor=_SHADE, linewidth=0, zorder=1))
    axes.vlines(row.edge, place - 0.4, place + 0.4, color=FAILED, linewidth=1.6, linestyles="--", zorder=2)
    colour = PASSED if row.passed else FAILED
    if row.low is not None and row.high is not None:
        axes.hlines(place, row.low, row.high, color=colour, linewidth=2.2, zorder=3)
    if row.difference is None:
        axes.text(0, place, "  not comparable", va="center", fontsize=8, color=FAILED)
    else:
        axes.plot(row.difference, place, "o" if row.passed else "X", color=colour, markersize=7, zorder=4)


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=PASSED, marker="o", lw=2.2, label="passed, with its interval"),
        Line2D([], [], color=FAILED, marker="X", lw=2.2, label="not passed"),
        Line2D([], [], color=FAILED, linestyle="--", label="margin"),
        Patch(facecolor=_SHADE, label="worse than the margin allows"),
    ]
