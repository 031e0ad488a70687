"""Dice of every volume as boxes: one panel per structure, one box per network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from compress.errors import DataError
from compress.report.style import INK, MUTED, SERIES_COLOURS, picture

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Network -> structure -> the Dice of every volume."""

DENSE_COLOUR = MUTED
"""The network that the others are compared with."""


def dice_boxes(path: Path, scores: Scores, *, title: str = "Dice per volume", phantom: bool = False) -> Path:
    """Draw a box per network and structure: median, quartiles, whiskers to 1.5 times their distance, every volume.

    The first network is the baseline; its median runs through the panel as a dotted line. All panels share one axis.
    Returns `path`; raises `DataError` when there is nothing to draw or networks differ in their structures.
    """
    names = list(scores)
    structures = list(scores[names[0]]) if names else []
    if not structures or any(list(scores[name]) != structures for name in names):
        raise DataError("No Dice to draw, or networks with different structures.", cure="Score one cohort.")
    with picture(path, title, size=(10, 1.5 + 0.5 * len(names)), phantom=phantom) as figure:
        panels = figure.subplots(1, len(structures), sharey=True, sharex=True, squeeze=False)[0]
        for axes, structure in zip(panels, structures, strict=True):
            _panel(axes, [np.asarray(scores[name][structure], dtype=float) for name in names])
            axes.set_title(structure)
            axes.set_xlabel("3D Dice per volume")
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.45, -0.55)
    return Path(path)


def _panel(axes: Axes, groups: Sequence[np.ndarray]) -> None:
    axes.axvline(float(np.median(groups[0])), color=MUTED, linewidth=1, linestyle=":", zorder=1)
    for row, values in enumerate(groups):
        colour = DENSE_COLOUR if row == 0 else SERIES_COLOURS[(row - 1) % len(SERIES_COLOURS)]
        # The same height for the same volume in every row: a heart can be followed from network to network.
        heights = row + np.linspace(-0.17, 0.17, len(values)) if len(values) > 1 else [row]
        axes.scatter(values, heights, s=9, color=colour, alpha=0.55, linewidth=0, zorder=2)
        axes.boxplot(
            values,
            positions=[row],
            widths=0.5,
            orientation="horizontal",
            manage_ticks=False,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 1.8},
            boxprops={"color": colour, "linewidth": 1.3},
            whiskerprops={"color": colour, "linewidth": 1.3},
            capprops={"color": colour, "linewidth": 1.3},
        )
