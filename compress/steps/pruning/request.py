"""What a pruning is asked for, by the configuration or by a command."""

from __future__ import annotations

from dataclasses import dataclass

from compress.config import Init, Method, Ratios, Schedule, Scope
from compress.steps.training.dense import dense_checkpoint
from compress.steps.training.request import Recovery
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class PruneRequest:
    """One pruned network that is wanted."""

    ratios: Ratios
    init: Init = "keep"
    epochs: int = 0
    """Retraining epochs; 0 leaves the network as pruning left it."""
    name: str = ""
    """Folder under `pruned/`; the initialisation's name when empty."""
    method: Method = "l1"
    scope: Scope = "local"
    floor: float = 0.1
    schedule: Schedule = "lr-rewind"
    distill: float = 0.0
    """Share of the retraining loss that the dense network teaches."""
    temperature: float = 2.0
    rounds: int = 1
    """Steps in which pruning goes; the epochs are divided over them."""
    compensate: bool = False
    """Fit kept weights to the dense network's outputs before retraining; only where the initialisation keeps them."""
    seed: int | None = None
    """Of random weights, random ranking and the order of training; null: experiment.seed."""

    @property
    def folder(self) -> str:
        """The network's folder under `pruned/`."""
        return self.name or self.init

    @property
    def compensates(self) -> bool:
        """True when weights are fitted: compensation is wanted, and there are kept weights."""
        return self.compensate and self.init == "keep"


def default_request(ws: Workspace) -> PruneRequest:
    """What the configuration's `pruning` section asks for; null epochs mean the dense budget."""
    pruning = ws.config.pruning
    epochs = pruning.finetune_epochs
    return PruneRequest(
        ratios=pruning.ratios,
        init=pruning.reinitialize_weights,
        epochs=ws.config.train.parameters.num_epochs if epochs is None else epochs,
        method=pruning.method,
        scope=pruning.scope,
        floor=pruning.floor,
        schedule=pruning.schedule,
        distill=pruning.distill,
        temperature=pruning.distill_temperature,
        rounds=pruning.rounds,
        compensate=pruning.compensate,
    )


def seed_of(ws: Workspace, request: PruneRequest) -> int:
    """The seed of one request; the split of the patients never depends on it."""
    return ws.config.experiment.seed if request.seed is None else request.seed


def recovery_of(ws: Workspace, request: PruneRequest) -> Recovery:
    """How a request wants its network retrained; the teacher is the dense network."""
    teacher = dense_checkpoint(ws) if request.distill else None
    return Recovery(request.schedule, request.distill, request.temperature, teacher)
