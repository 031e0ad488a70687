"""`cardiocompress sensitivity`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import ConfigOption, SetOption

SlicesOption = Annotated[int, typer.Option("--slices", min=1, help="Training slices that are scored.")]


def sensitivity(config: ConfigOption = None, overrides: SetOption = None, slices: SlicesOption = 128) -> None:
    """Draw Dice against ratio for each block: prune one block of the dense network at a time, without retraining.

    BatchNorm is measured again before every score; only training slices are used. Scores are kept in the run
    folder, so that an interrupted command goes on, and `cardiocompress plan` starts from them.
    """
    from cli.console import say, table
    from cli.options import open_workspace

    ws = open_workspace(config, overrides)
    from compress.steps.planning.sensitivity import measure_sensitivity

    found = measure_sensitivity(ws, slices=slices)
    ratios = sorted({row.ratio for row in found.rows})
    scores = {(row.block, row.ratio): row.dice for row in found.rows}
    blocks = list(dict.fromkeys(row.block for row in found.rows))
    mark = " (phantom)" if found.phantom else ""
    rows = [[block, *(f"{scores[block, ratio]:.3f}" for ratio in ratios)] for block in blocks]
    table(f"Dice with one block pruned{mark}", ["block", *(f"{ratio:.0%} removed" for ratio in ratios)], rows)
    say(f"Dense, recalibrated too{mark}: {found.dense_dice:.3f}. Training slices throughout, not validation scores.")
    say(f"Picture: {found.plot}")
