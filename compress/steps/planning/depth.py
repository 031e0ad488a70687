"""Moves of depth: how much Dice each costs by itself, and whether it beats narrower widths at the same cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compress.config import Ratios
from compress.files import digest_json
from compress.models.build import architecture_of
from compress.models.checkpoint import Checkpoint
from compress.models.unet import is_folded
from compress.prune.plan import PruningPlan
from compress.steps.planning.sensitivity import scorer
from compress.steps.pruning.depth import fitted
from compress.steps.reuse import Result
from compress.steps.workspace import Workspace

FOLD = "space_to_depth"


@dataclass(frozen=True)
class Move:
    """One move of depth, weighed for a target."""

    name: str
    """A double convolution that becomes a single one, or space_to_depth."""
    dice_lost: float
    """By itself, on training slices, right after the fit and without any retraining."""
    chosen: bool
    reason: str


def moves_of(base: PruningPlan, checkpoint: Checkpoint) -> list[str]:
    """Every move that the network allows; none where its class knows none."""
    if architecture_of(checkpoint.meta.architecture).restructure is None:
        return []
    blocks = list(dict.fromkeys(group.block for group in base.groups.values()))
    doubles = [block for block in blocks if f"{block}.conv1" in base.groups and f"{block}.conv2" in base.groups]
    return [*doubles, *([] if is_folded(checkpoint.meta.arguments["widths"]) else [FOLD])]


def measure_depth(
    ws: Workspace, dense: Checkpoint, moves: Sequence[str], *, slices: int, dense_dice: float
) -> dict[str, float]:
    """Dice lost by each move alone; kept in depth.json, so that an interrupted run goes on. Below zero (noise) is zero.

    BatchNorm is measured again after the fit; slices, patients and the dense network's Dice are the sensitivity's.
    """
    inputs = {"dense": dense.meta.digest, "slices": slices, "train_patients": digest_json(list(ws.split.train))}
    result = Result(ws.run.planning.depth, inputs)
    known: dict[str, float] = result.stored(lambda found: {str(k): float(v) for k, v in found["dice"].items()}) or {}
    missing = [move for move in moves if move not in known]
    if missing:
        score = scorer(ws, slices)
        with ws.progress.task("Removing depth, one move at a time", len(missing)) as task:
            for move in missing:
                known[move] = score(fitted(ws, dense, ratios_for(move)).network)
                result.store({"dice": known, "phantom": dense.meta.phantom})
                task.advance(info=f"{move}: {known[move]:.3f}")
    return {move: max(dense_dice - known[move], 0.0) for move in moves}


def ratios_for(move: str) -> Ratios:
    """The ratios that make this move alone."""
    moved: Mapping[str, Any] = {"space_to_depth": True} if move == FOLD else {"single": (move,)}
    return Ratios(default=0.0, align="none", **moved)
