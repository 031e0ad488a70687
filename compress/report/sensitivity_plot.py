"""How much Dice each block loses when only that block is pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from compress.errors import DataError
from compress.report.style import INK, MARKERS, SERIES_COLOURS, picture

_LINES = len(SERIES_COLOURS)
"""Lines per panel: more cannot be told apart."""


def sensitivity_plot(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    dense: float,
    title: str = "Dice when only one block is pruned, not retrained",
    phantom: bool = False,
) -> Path:
    """Dice against the removed share, one line per block, at most six per panel in the network's order.

    `rows` hold `block`, `ratio` and `dice`; `dense` is the unpruned network's Dice, where every line
    starts. Raises `DataError` without rows.
    """
    if not rows:
        raise DataError("No blocks to draw.", cure="Give at least one.")
    blocks = list(dict.fromkeys(str(row["block"]) for row in rows))
    panels = -(-len(blocks) // _LINES)
    each = -(-len(blocks) // panels)
    with picture(path, title, size=(max(3.9 * panels, 5.5), 4.9), phantom=phantom) as figure:
        for index, axes in enumerate(figure.subplots(1, panels, sharey=True, squeeze=False).ravel()):
            _panel(axes, blocks[index * each : (index + 1) * each], rows, dense)
            if index == 0:
                axes.set_ylabel("mean Dice (training slices, network's grid)")
    return Path(path)


def _panel(axes: Axes, blocks: Sequence[str], rows: Sequence[Mapping[str, Any]], dense: float) -> None:
    axes.axhline(dense, color=INK, linewidth=1.0, linestyle=":", label=f"dense ({dense:.3f})")
    for block, colour, marker in zip(blocks, SERIES_COLOURS, MARKERS, strict=False):
        points = sorted((float(row["ratio"]), float(row["dice"])) for row in rows if row["block"] == block)
        places, scores = zip((0.0, dense), *points, strict=True)
        axes.plot(places, scores, color=colour, marker=marker, markersize=5, linewidth=1.5, label=block)
    axes.set(xlabel="share of the block's channels removed", xlim=(-0.03, 1.0), ylim=(-0.03, 1.03))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 0.9], ["0", "0.25", "0.5", "0.75", "0.9"])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
