"""A network that is damaged on purpose: the demo's example of what an acceptance gate refuses."""

from __future__ import annotations

from dataclasses import replace

import torch

from compress.errors import CheckpointError
from compress.models.checkpoint import load, save
from compress.rundir import Stage
from compress.steps.exporting.export import export_stage
from compress.steps.workspace import Workspace

_NEVER = -1e4
"""A logit below any that a trained network gives."""


def export_damaged(ws: Workspace, source: Stage, *, structure: str = "RV") -> Stage:
    """Export a copy of `source`'s network whose last layer can no longer answer `structure`; returns its stage.

    Every other weight is the source's: the damage is what one lost output channel does. The file's card tells its
    stage, "damaged on purpose"; nothing of `source` changes. Raises `CheckpointError` when the network knows no such
    structure or does not end in one layer called `head`, and what `export_stage` raises.
    """
    checkpoint = load(source.final)
    label, head = checkpoint.meta.labels.get(structure), getattr(checkpoint.network, "head", None)
    if label is None or not isinstance(head, torch.nn.Conv2d) or head.bias is None:
        known = ", ".join(checkpoint.meta.labels)
        raise CheckpointError(f"{source.final} has no last layer that answers {structure}; it knows {known}.")
    with torch.no_grad():
        head.weight[label] = 0
        head.bias[label] = _NEVER
    stage, meta = ws.run.damaged, checkpoint.meta
    save(stage.final, checkpoint.network, replace(meta, stage="damaged on purpose", parent=meta.digest))
    export_stage(ws, stage)
    return stage
