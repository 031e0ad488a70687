"""The table of a run's networks: a row of size, cost, Dice and effort for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compress.data.volume import STRUCTURES
from compress.files import read_json
from compress.models.checkpoint import untrained
from compress.models.cost import count_macs, count_parameters
from compress.rundir import Stage
from compress.steps.reuse import intact
from compress.steps.scoring.checkpoint import scores_after_pruning, scores_of
from compress.steps.workspace import Workspace
from compress.text import dash, phantom_mark

COLUMNS = (
    "network",
    "parameters",
    "MACs",
    "Dice right after pruning",
    "Dice",
    "epochs",
    "minutes",
)
_SCORED = COLUMNS.index("Dice") + 1
"""Where each structure's Dice stands."""

BENCH_NOTE = (
    "Parameters are those in the ONNX file, where every BatchNorm is folded into its convolution. "
    "Efficiency is the speed-up divided by the reduction of MACs: 1.0 means that every removed operation was saved."
)


def summarise(ws: Workspace, name: str, stage: Stage) -> dict[str, Any]:
    """One network's row: size, cost, Dice before and after retraining, effort and digests."""
    network, meta = untrained(stage.final)
    record = intact(lambda: dict(read_json(stage.record))) or {}
    final, raw = scores_of(ws, stage, name=name), scores_after_pruning(ws, stage)
    return {
        "name": name,
        "phantom": meta.phantom,
        "parameters": count_parameters(network),
        "macs": count_macs(network, size=ws.rules.size),
        "dice": final.mean_dice if final else None,
        "structure_dice": final.structure_dice if final else None,
        "dice_after_pruning": raw.mean_dice if raw else None,
        "epochs": record.get("epochs", 0),
        "training_seconds": record.get("seconds", 0.0),
        "digest": meta.digest,
        "onnx_bytes": stage.onnx.stat().st_size if stage.onnx.is_file() else None,
        "folder": str(stage.root.relative_to(ws.run.root)),
    }


def comparison_rows(rows: list[dict[str, Any]], *, phantom: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of networks, for Markdown and the terminal alike."""
    names = list(dict.fromkeys(name for row in rows for name in row["structure_dice"] or STRUCTURES))
    columns = [*COLUMNS[:_SCORED], *(f"Dice {name}" for name in names), *COLUMNS[_SCORED:]]
    heads = [f"{c}{phantom_mark(phantom and 'Dice' in c)}" for c in columns]
    return heads, [_cells(row, names) for row in rows]


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    structures = row["structure_dice"] or {}
    return [
        row["name"],
        f"{row['parameters'] / 1e6:.3f} M",
        f"{row['macs'] / 1e9:.3f} G",
        dash(row["dice_after_pruning"], ".4f"),
        dash(row["dice"], ".4f"),
        *(dash(structures.get(s), ".4f") for s in names),
        str(row["epochs"]),
        f"{row['training_seconds'] / 60:.1f}",
    ]
