"""What the configuration's `pruning` section leaves open, decided: epochs, seed and teacher."""

from __future__ import annotations

from compress.config import Pruning
from compress.errors import ConfigError
from compress.models.checkpoint import Checkpoint
from compress.models.cost import count_macs
from compress.steps.pruning.unlabelled import find_unlabelled
from compress.steps.training.dense import dense_checkpoint, teacher_checkpoint
from compress.steps.training.request import Recovery
from compress.steps.workspace import Workspace

MOST_EPOCHS = 100
"""Of retraining where nobody says how many: what was measured (benchmarks/HEADLINE.md)."""


def epochs_of(ws: Workspace, wanted: Pruning, share: float = 1.0) -> int:
    """Retraining epochs, by default as many as the dense network had; 0 leaves it as pruning left it.

    `share` is what the pruned network costs of the dense one's multiply-adds: `auto` spends on it what the dense
    network's training took.
    """
    train = ws.config.train
    if wanted.finetune_epochs == "auto":
        dense = train.parameters.num_epochs + sum(cycle.epochs for cycle in ws.cycles)
        return max(dense, min(MOST_EPOCHS, round(dense / share)))
    return train.parameters.num_epochs if wanted.finetune_epochs is None else wanted.finetune_epochs


def macs_share(ws: Workspace, smaller: Checkpoint) -> float:
    """The multiply-adds of a smaller network, as a share of the dense network's."""
    dense = dense_checkpoint(ws)
    return count_macs(smaller.network, size=ws.rules.size) / count_macs(dense.network, size=ws.rules.size)


def seed_of(ws: Workspace, wanted: Pruning) -> int:
    """The seed of one network; the split of the patients never depends on it."""
    return ws.config.experiment.seed if wanted.seed is None else wanted.seed


def recovery_of(ws: Workspace, wanted: Pruning) -> Recovery:
    """How the network is retrained; the teacher is the dense network."""
    teacher = teacher_checkpoint(ws) if wanted.distill else None
    more = None
    if wanted.distill_unlabelled is not None:
        if teacher is None:
            raise ConfigError(
                "pruning.distill_unlabelled needs a teacher, and pruning.distill is 0.",
                cure="Give --distill 0.5, or leave the images without masks out.",
            )
        more = find_unlabelled(ws, wanted.distill_unlabelled, wanted.distill_frames)
    return Recovery(wanted.schedule, wanted.distill, wanted.distill_temperature, teacher, more, wanted.average)
