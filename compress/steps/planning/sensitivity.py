"""How much each block of the dense network matters: prune it alone, recalibrate, score on training slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from compress.config import Ratios
from compress.data.dataset import spread
from compress.data.prepared import Prepared
from compress.errors import DataError
from compress.files import digest_json
from compress.models.checkpoint import Checkpoint
from compress.prune.budget import Kept, narrowed
from compress.prune.plan import PruningPlan
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.recalibrate import recalibrate
from compress.report.sensitivity_plot import sensitivity_plot
from compress.steps.pruning.ranking import rank
from compress.steps.reuse import Result
from compress.steps.training.dense import check_shape, dense_checkpoint
from compress.steps.workspace import Workspace
from compress.train.device import resolve_device
from compress.train.validate import grid_dice

RATIOS = (0.25, 0.5, 0.75, 0.9)
SLICES = 128


@dataclass(frozen=True)
class BlockScore:
    """One block pruned, all others whole."""

    block: str
    ratio: float
    """The removed share that was asked for; whole channels may remove a little more or less."""
    kept: dict[str, int]
    """Group of the block -> units that stay."""
    dice: float
    """Mean over the structures, on training slices."""


@dataclass
class Measured:
    """The scores so far."""

    dense_dice: float | None
    scores: dict[str, float]
    """"<block> <ratio>" -> Dice."""


@dataclass(frozen=True)
class Sensitivity:
    """What `measure_sensitivity` found."""

    dense_dice: float
    """The dense network's Dice after the same BatchNorm recalibration, on the same slices."""
    slices: int
    rows: tuple[BlockScore, ...]
    phantom: bool
    plot: Path


def measure_sensitivity(
    ws: Workspace, *, slices: int = SLICES, ratios: Sequence[float] = RATIOS, base: PruningPlan | None = None
) -> Sensitivity:
    """Score every block at every ratio; writes sensitivity.json and .png into the planning folder.

    Validation patients are never looked at. Scores of the same dense network, slices and criterion that
    are already in the file are kept, so an interrupted run goes on. Raises `CheckpointError` without a
    dense network.
    """
    check_shape(ws)
    dense = dense_checkpoint(ws)
    base = base or whole_plan(ws, dense)
    files = ws.run.planning
    wanted = list(_cuts(base, ratios))
    result = Result(files.sensitivity, _inputs(ws, base, slices))
    known = result.stored(_restore) or Measured(None, {})
    missing = [cut for cut in wanted if _key(cut) not in known.scores]
    if missing:
        _measure(ws, dense, base, missing, known, result)
    rows = tuple(replace(cut, dice=known.scores[_key(cut)]) for cut in wanted)
    assert known.dense_dice is not None
    phantom = dense.meta.phantom
    drawn = files.sensitivity_plot
    if missing or not drawn.is_file():
        sensitivity_plot(drawn, [asdict(r) for r in rows], dense=known.dense_dice, phantom=phantom)
    return Sensitivity(known.dense_dice, slices, rows, phantom, drawn)


def whole_plan(ws: Workspace, dense: Checkpoint) -> PruningPlan:
    """The dense network's channels ranked by the configured criterion, none removed."""
    return rank(ws, dense, ws.config.pruning.but(ratios=Ratios(default=0.0, align="none")))


def _cuts(base: PruningPlan, ratios: Sequence[float]) -> Iterator[BlockScore]:
    """Every block at every ratio, not yet scored."""
    blocks = list(dict.fromkeys(g.block for g in base.groups.values()))
    for block in blocks:
        widths = {name: g.width for name, g in base.groups.items() if g.block == block}
        for ratio in ratios:
            kept = {name: max(1, round((1 - ratio) * width)) for name, width in widths.items()}
            yield BlockScore(block, ratio, kept, float("nan"))


def _key(cut: BlockScore) -> str:
    return f"{cut.block} {cut.ratio:g}"


def _inputs(ws: Workspace, base: PruningPlan, slices: int) -> dict[str, Any]:
    ranking = digest_json({name: g.to_json()["scores"] for name, g in base.groups.items()})
    patients = digest_json(list(ws.split.train))
    return {"dense": base.source, "slices": slices, "ranking": ranking, "train_patients": patients}


def _restore(document: dict[str, Any]) -> Measured:
    scores = {str(cut): float(dice) for cut, dice in document["scores"].items()}
    return Measured(float(document["dense_dice"]), scores)


def _measure(
    ws: Workspace,
    dense: Checkpoint,
    base: PruningPlan,
    missing: Sequence[BlockScore],
    known: Measured,
    result: Result,
) -> None:
    """Add what is missing to `known` and write it after every score."""
    score = _scorer(ws, dense, base, int(result.inputs["slices"]))
    ws.describe()
    with ws.progress.task("Pruning one block at a time", len(missing)) as task:
        if known.dense_dice is None:
            known.dense_dice = score({})
        for cut in missing:
            known.scores[_key(cut)] = score(cut.kept)
            result.store({**asdict(known), "phantom": dense.meta.phantom})
            task.advance(info=f"{_key(cut)}: {known.scores[_key(cut)]:.3f}")


def _scorer(ws: Workspace, dense: Checkpoint, base: PruningPlan, slices: int) -> Callable[[Kept], float]:
    """Dice of the dense network with some groups narrowed and BatchNorm measured again.

    With none narrowed too: only then do losses speak of pruning alone.
    """
    score = scorer(ws, slices)
    return lambda kept: score(rebuild_checkpoint(dense, narrowed(base, kept)).network)


def scorer(ws: Workspace, slices: int) -> Callable[[nn.Module], float]:
    """Dice of a network on this many training slices, after measuring its BatchNorm again, in place."""
    volumes = ws.prepared(ws.cases_of(ws.split.train))
    held, images = held_in(volumes, slices), np.concatenate([v.images for v in volumes])
    batch, seed = ws.config.train.batch_size, ws.config.experiment.seed

    def score(network: nn.Module) -> float:
        recalibrate(network, images, batch_size=batch, batches=-(-slices // batch), seed=seed)
        return _dice(ws, network, held)

    return score


def held_in(volumes: Sequence[Prepared], slices: int) -> Prepared:
    """At most `slices` slices spread evenly over all volumes, as one volume: Dice is then pooled over them."""
    if any(v.mask is None for v in volumes):
        raise DataError("Sensitivity needs a mask for every training volume.")
    images = np.concatenate([v.images for v in volumes])
    masks = np.concatenate([v.mask for v in volumes if v.mask is not None])
    chosen = spread(len(images), slices)
    return replace(volumes[0], images=images[chosen], mask=masks[chosen])


def _dice(ws: Workspace, network: nn.Module, held: Prepared) -> float:
    device = resolve_device(ws.config.experiment.device)
    return grid_dice(network.to(device), [held], ws.labels, device=device, bf16=False)["mean"]
