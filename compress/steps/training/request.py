"""What a training is asked for: from which weights, for how long, how, and what it may overwrite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from compress.config import Schedule
from compress.models.checkpoint import Checkpoint
from compress.progress import Progress
from compress.rundir import Stage
from compress.train.recipe import Cycle


class Images(Protocol):
    """Slices on the network's grid that are read when they are needed."""

    @property
    def digest(self) -> str:
        """Of the files that they come from, and of what is taken."""
        ...

    def images(self, progress: Progress) -> np.ndarray:
        """(N, H, W) float32; raises `DataError`."""
        ...


@dataclass(frozen=True)
class Policy:
    """What to do with results that are already in a stage's folder. Current ones are always kept unless `force`."""

    unfinished: Literal["refuse", "resume", "restart"] = "refuse"
    finished: Literal["refuse", "replace"] = "refuse"
    """For a finished network that was made from other inputs."""
    force: bool = False
    """Train again even when nothing has changed."""


@dataclass(frozen=True)
class Recovery:
    """How a pruned network is retrained. The default is the dense network's own training over again."""

    schedule: Schedule = "lr-rewind"
    """lr-rewind: the full schedule (Renda 2020, arXiv:2003.02389); finetune: a constant tenth of the rate."""
    distill: float = 0.0
    """Share of the loss that comes from the teacher."""
    temperature: float = 2.0
    """Divides the logits of both networks before they are compared."""
    teacher: Checkpoint | None = None
    """The network to learn from; needed where `distill` is above 0."""
    unlabelled: Images | None = None
    """Images without masks that the teacher answers for."""
    average: float | None = None
    """Decay of the moving average of the weights; None: as the dense network's."""


AS_DENSE = Recovery()


@dataclass(frozen=True)
class Effort:
    """What earlier rounds of the same network have cost."""

    epochs: int = 0
    seconds: float = 0.0


NO_EFFORT = Effort()


@dataclass(frozen=True)
class Training:
    """One training of one network."""

    stage: Stage
    """Where all its files go."""
    start: Checkpoint
    """The network as it begins, and the description that the trained one keeps."""
    epochs: int
    title: str
    """What progress and messages call it, such as "Training dense"."""
    policy: Policy = Policy()
    seed: int | None = None
    """The seed of the order of slices and of augmentation; null: experiment.seed."""
    recovery: Recovery = AS_DENSE
    cycles: tuple[Cycle, ...] = ()
    """Cycles that follow the `epochs`; a finished training that lacks only the last ones is continued."""
    seen: int = 0
    """Epochs that `start` was trained for, by the same draws."""
    spent: Effort = NO_EFFORT
    """Added to the epochs and seconds that the stage's record tells."""
