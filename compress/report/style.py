"""The look of every picture, defined once: colours, sizes, and how a figure reaches the disk.

Pictures are drawn on `Figure` objects with the Agg canvas, without pyplot's global state, and written as PNG with
no time or software stamp, so equal data gives equal bytes.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from compress.errors import InputError
from compress.files import atomic_path

DPI = 150

SERIES_COLOURS = ("#1E88E5", "#D81B60", "#F0A30A", "#00A087", "#7A5195", "#5F6B73")
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Series differ in marker as well as in colour."""

INK, MUTED, GRID = "#22272B", "#68737D", "#DDE2E6"
ACCENT, FAINT = "#1E88E5", "#C9D1D9"

MISSED, EXTRA, CONFUSED = "#4FC3F7", "#FF5252", "#FFEB3B"
"""Disagreement maps: in the reference only, in the prediction only, both but different structures."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same picture on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "text.parse_math": False,  # a file name may hold dollar signs
}


@contextmanager
def picture(path: Path, title: str, *, size: tuple[float, float], phantom: bool = False) -> Iterator[Figure]:
    """Yield an empty figure of `size` inches headed `title`; write it to `path` (.png) when the block succeeds.

    `phantom` stamps the word "phantom" on it: synthetic data must never pass for patients. Raises `InputError` for
    another suffix than .png.
    """
    if Path(path).suffix != ".png":
        raise InputError(f"Pictures are PNG files, got '{Path(path).name}'.", cure="Use a name that ends in .png.")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change published pictures
        for name, value in _RC.items():
            matplotlib.rcParams[name] = value
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph .* missing from")  # of names in other scripts: drawn as boxes
            _heading(figure, title, phantom=phantom)
            yield figure
            with atomic_path(Path(path)) as temporary:
                figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None}, facecolor="white")


def _heading(figure: Figure, title: str, *, phantom: bool) -> None:
    """The title at the top left, wrapped to leave room for the stamp at the top right."""
    width = figure.get_figwidth()
    room = width - (1.6 if phantom else 0.2)
    text = "\n".join(textwrap.wrap(title, max(12, int(room * 9.3)))) or " "
    figure.suptitle(text, x=0.08 / width, ha="left", fontsize=12, fontweight="bold")
    if phantom:
        _stamp(figure)


def _stamp(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    box = {"boxstyle": "round,pad=0.22", "facecolor": "#FFF3CD", "edgecolor": "#B26A00", "linewidth": 1.2}
    note = figure.text(1 - 0.10 / width, 1 - 0.07 / height, "phantom data", ha="right", va="top", bbox=box)
    note.set(fontsize=9.5, fontweight="bold", color="#8A4B00")
    note.set_in_layout(False)


def bars(axes: Axes, values: np.ndarray, texts: Sequence[str], *, colour: str) -> None:
    """Horizontal bars on rows 0, 1, ... with a text at the end of each. The caller leaves room on the right."""
    container = axes.barh(np.arange(len(values)), values, height=0.62, color=colour)
    axes.bar_label(container, list(texts), padding=3, fontsize=8)
