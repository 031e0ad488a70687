"""The README's first picture: the dense network beside the file that is shipped, from the stored table.

    python benchmarks/outcome_picture.py

Reads the first table of benchmarks/HEADLINE.md; nothing is measured here and no figure stands in this script.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from compress.report.style import FAINT, MUTED, SERIES_COLOURS, picture

HERE = Path(__file__).parent
TITLE = "Dense network and pruned file: real ACDC, 20 patients, one seed"
SHOWN = {
    "latency, batch 1": "CPU latency",
    "file": "File size",
    "peak memory of a process": "Peak memory",
    "Dice": "Dice",
}
"""Row of the table -> heading of its panel."""


@dataclass(frozen=True)
class Row:
    """One quantity of both networks, as the table says it."""

    dense: str
    pruned: str
    difference: str

    @property
    def bars(self) -> tuple[float, float]:
        """Lengths of the two bars."""
        return float(self.dense.split()[0]), float(self.pruned.split()[0])

    def heading(self, name: str) -> str:
        """Two lines: the name over the ratio; or the difference over its interval, which there is the message."""
        outcome = self.difference.replace("*", "")
        value, _, interval = outcome.partition(" (")
        return f"{name}\n{value}" if "times" in value else f"{name} {value}\n({interval}"


def read_rows(document: Path) -> dict[str, Row]:
    """The rows of the document's first table, by their first cell."""
    lines = document.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = Row(*cells)
    return rows


def draw(rows: dict[str, Row], path: Path) -> Path:
    """Four panels with two bars each, every bar from zero; large letters, for a telephone's width."""
    with picture(path, TITLE, size=(6.0, 4.6)) as figure:
        for axes, (key, name) in zip(figure.subplots(2, 2).flat, SHOWN.items(), strict=True):
            _panel(axes, name, rows[key])
    return path


def _panel(axes: Axes, name: str, row: Row) -> None:
    longest = max(row.bars)
    container = axes.barh((1, 0), row.bars, height=0.7, color=(FAINT, SERIES_COLOURS[0]), edgecolor=MUTED)
    axes.bar_label(container, (row.dense, row.pruned), padding=4, fontsize=12)
    axes.set_title(row.heading(name), fontsize=12)
    axes.set_yticks((1, 0), ("dense", "pruned"), fontsize=12)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.55 * longest)
    axes.set_xticks(())
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


if __name__ == "__main__":
    print(draw(read_rows(HERE / "HEADLINE.md"), HERE / "pictures" / "outcome.png"))
