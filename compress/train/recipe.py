"""What decides what training does, besides the data and the starting weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from compress.train.distill import VIEWS


@dataclass(frozen=True)
class Cycle:
    """One round of the learning-rate schedule, with an optimiser that knows nothing of the rounds before."""

    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training does, besides the data and the starting weights."""

    epochs: int
    """Of the first cycle; `total` counts all."""
    batch_size: int
    learning_rate: float
    weight_decay: float
    loss: str
    schedule: str
    augmentation: float
    seed: int
    bf16: bool
    slices_per_volume: int | None = None
    distill: float = 0.0
    """Share of the loss that comes from the teacher, 0 to 1."""
    temperature: float = 2.0
    teacher: str = ""
    """The teacher's digest: another teacher is another recipe."""
    unlabelled: str = ""
    """Digest of the images that the teacher alone answers for."""
    views: int = VIEWS
    """How many views of an image the teacher's answer is the mean of."""
    cycles: tuple[Cycle, ...] = ()
    """Those that follow the first."""
    average: float = 0.0
    """Decay per step of the exponential moving average of all weights that is the result; 0: the last weights are."""
    seen: int = 0
    """Epochs that the starting weights were trained for: their draws of order and augmentation are not repeated."""

    @property
    def total(self) -> int:
        """Epochs of all cycles."""
        return self.epochs + sum(cycle.epochs for cycle in self.cycles)

    def cycle_at(self, epoch: int) -> tuple[Cycle, int]:
        """The cycle that the epoch after `epoch` done ones belongs to, and how many were done when it began."""
        cycle, began = Cycle(self.epochs, self.learning_rate), 0
        for following in self.cycles:
            if epoch < began + cycle.epochs:
                break
            cycle, began = following, began + cycle.epochs
        return cycle, began

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys that say nothing are left out, so that recipes of before they existed stay equal."""
        left_out = set() if self.distill else {"distill", "temperature", "teacher", "views"}
        left_out |= {key for key in ("cycles", "seen", "average", "unlabelled") if not getattr(self, key)}
        document = {**asdict(self), "cycles": [asdict(cycle) for cycle in self.cycles]}
        return {key: value for key, value in document.items() if key not in left_out}
