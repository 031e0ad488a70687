"""An experiment whose dense network is there already: random weights are all that most steps need."""

from __future__ import annotations

from pathlib import Path

from compress.config.read import from_document
from compress.models.checkpoint import save
from compress.models.unet import dense_widths
from compress.steps.training.dense import new_network
from compress.steps.workspace import Workspace


def tiny_workspace(
    root: Path, data: Path, *settings: str, features: tuple[int, ...] = (4,), seed: int = 0
) -> Workspace:
    """32 x 32 pixels under `root` on the phantom in `data`; `settings` are written as for --set."""
    document = {
        "experiment": {"device": "cpu"},
        "data": {"size": [32, 32], "spacing_mm": [4.0, 4.0]},
        "train": {
            "val_ratio": 0.34,
            "batch_size": 4,
            "model": {"features": list(features)},
            "paths": {"train_dir": str(data), "save_root": str(root)},
        },
        "bench": {"rounds": 3, "warmup": 1, "threads": 1},
    }
    ws = Workspace(from_document(document, settings))
    save(ws.run.baseline.final, *new_network(ws, dense_widths(features), seed=seed))
    return ws
