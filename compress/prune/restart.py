"""What the kept channels restart from before retraining: kept, random or rewound weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compress.models.build import build
from compress.models.checkpoint import Checkpoint
from compress.models.unet import initialise
from compress.prune.plan import PruningPlan
from compress.prune.rebuild import rebuild_checkpoint
from compress.registry import pick

Early = Callable[[], Checkpoint]
"""Loads the weights from early in training; only rewinding needs them to exist."""


def keep(pruned: Checkpoint, early: Early, plan: PruningPlan, seed: int) -> Checkpoint:
    """Trained weights stay; only the learning-rate schedule starts again (Renda 2020)."""
    return pruned


def randomise(pruned: Checkpoint, early: Early, plan: PruningPlan, seed: int) -> Checkpoint:
    """Fresh random weights in the pruned shape (Liu 2019, arXiv:1810.05270)."""
    network = build(pruned.meta.architecture, pruned.meta.arguments)
    initialise(network, seed=seed + 1)
    return Checkpoint(network.eval(), pruned.meta)


def rewind(pruned: Checkpoint, early: Early, plan: PruningPlan, seed: int) -> Checkpoint:
    """The same channels with the values they had early in training (Frankle 2019, arXiv:1903.01611)."""
    source = early()
    rewound = rebuild_checkpoint(source, plan)
    return Checkpoint(
        rewound.network, replace(pruned.meta, extra={**pruned.meta.extra, "rewound_to_epoch": source.meta.epoch})
    )


RESTARTS: dict[str, Callable[[Checkpoint, Early, PruningPlan, int], Checkpoint]] = {
    "keep": keep,
    "random": randomise,
    "rewind": rewind,
}


def restart(init: str, *, pruned: Checkpoint, early: Early, plan: PruningPlan, seed: int) -> Checkpoint:
    """The starting point of retraining by name; `ConfigError` when it is unknown."""
    return pick("initialisation", RESTARTS, init)(pruned, early, plan, seed)
