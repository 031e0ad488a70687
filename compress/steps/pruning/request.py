"""What the configuration's `pruning` section leaves open, decided: epochs, seed and teacher."""

from __future__ import annotations

from compress.config import Pruning
from compress.steps.training.dense import dense_checkpoint
from compress.steps.training.request import Recovery
from compress.steps.workspace import Workspace


def epochs_of(ws: Workspace, wanted: Pruning) -> int:
    """Retraining epochs, by default as many as the dense network had; 0 leaves it as pruning left it."""
    return ws.config.train.parameters.num_epochs if wanted.finetune_epochs is None else wanted.finetune_epochs


def seed_of(ws: Workspace, wanted: Pruning) -> int:
    """The seed of one network; the split of the patients never depends on it."""
    return ws.config.experiment.seed if wanted.seed is None else wanted.seed


def recovery_of(ws: Workspace, wanted: Pruning) -> Recovery:
    """How the network is retrained; the teacher is the dense network."""
    teacher = dense_checkpoint(ws) if wanted.distill else None
    return Recovery(wanted.schedule, wanted.distill, wanted.distill_temperature, teacher, wanted.average)
