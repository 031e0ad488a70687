"""Bland-Altman plots of several clinical quantities in one picture, up to two networks in each panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES, Pair, agreement
from compress.report.style import FAINT, MUTED, SERIES_COLOURS, picture
from compress.text import span

GRID = (("LV EDV", "LV ESV", "LV EF", "MYO mass"), ("RV EDV", "RV ESV", "RV EF"))
"""Rows of panels. The stroke volume is EDV - ESV, which are both there."""

_AXIS = "horizontal axes: mean of prediction and reference"
_STYLES = ((MUTED, "o", 0.75), (SERIES_COLOURS[1], "D", 0.9))

Networks = Mapping[str, Mapping[str, Sequence[Pair]]]
"""Network -> quantity -> (patient, prediction, reference) of every patient."""


def agreement_grid(
    path: Path, networks: Networks, *, title: str = "Agreement with the reference", phantom: bool = False
) -> Path:
    """Draw difference (prediction - reference) against mean per patient, with each network's bias and 95% limits.

    One or two networks, the baseline first: more would hide each other. A quantity that no network has for two
    patients leaves its panel out. Returns `path`; raises `DataError` when nothing can be drawn.
    """
    shown = [[q for q in row if any(len(n.get(q, ())) > 1 for n in networks.values())] for row in GRID]
    shown = [row for row in shown if row]
    if not shown or len(networks) > len(_STYLES):
        raise DataError(f"Cannot draw the agreement of {len(networks)} networks: one or two, with two patients each.")
    columns = max(map(len, shown))
    with picture(path, title, size=(max(3.1 * columns, 6), 1.1 + 2.6 * len(shown)), phantom=phantom) as figure:
        grid = figure.subplots(len(shown), columns, squeeze=False)
        for line, quantities in zip(grid, shown, strict=True):
            for axes, quantity in zip(line, quantities, strict=False):
                _panel(axes, quantity, networks)
            for axes in line[len(quantities) :]:
                axes.set_axis_off()
        figure.supylabel("prediction - reference", fontsize=9)
        figure.legend(handles=_legend(list(networks)), loc="outside lower center", ncols=len(networks) + 2, title=_AXIS)
    return Path(path)


def _panel(axes: Axes, quantity: str, networks: Networks) -> None:
    unit = QUANTITIES[quantity].unit
    axes.axhline(0, color=FAINT, linewidth=1, zorder=1)
    for line, (found, (colour, marker, alpha)) in enumerate(zip(networks.values(), _STYLES, strict=False)):
        pairs = found.get(quantity, ())
        if len(pairs) > 1:
            note = _series(axes, pairs, colour, marker, alpha)
            axes.text(0, -0.15 - 0.09 * line, note, transform=axes.transAxes, va="top", fontsize=8, color=colour)
    axes.set_title(f"{quantity} ({unit})")
    axes.margins(y=0.12)
    axes.tick_params(labelsize=7.5)


def _series(axes: Axes, pairs: Sequence[Pair], colour: str, marker: str, alpha: float) -> str:
    """Points and lines of one network; returns its bias and limits in words."""
    values = np.array([pair[1:] for pair in pairs], dtype=float)
    found = agreement(pairs)
    assert found.bias is not None and found.limits is not None
    axes.scatter(values.mean(1), values[:, 0] - values[:, 1], s=17, marker=marker, color=colour, alpha=alpha, zorder=3)
    axes.axhline(found.bias, color=colour, linewidth=1.4, zorder=2)
    for limit in found.limits:
        axes.axhline(limit, color=colour, linewidth=1.1, linestyle="--", zorder=2)
    return f"bias {found.bias:+.1f}, limits {span(*found.limits, '+.1f')}"


def _legend(names: Sequence[str]) -> list[Line2D]:
    points = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
        for name, (colour, marker, _) in zip(names, _STYLES, strict=False)
    ]
    lines: list[tuple[str, Any]] = [("bias", "-"), ("95% limits of agreement", "--")]
    return points + [Line2D([], [], color=MUTED, ls=style, label=text) for text, style in lines]
