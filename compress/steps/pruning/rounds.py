"""One round of pruning: how far it goes, what all rounds leave of the dense network, and the files of it.

After round i of n a ratio r has become 1 - (1 - r)^(i/n): the kept share falls geometrically (Han 2015,
arXiv:1506.02626; Renda 2020, arXiv:2003.02389). How many channels a round leaves is decided on the dense
network, so that rounds end with exactly the widths of pruning at once and the two can be compared;
which channels, the network that the round before has trained decides.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from compress.config import Init, Ratios, Scope
from compress.errors import ConfigError
from compress.files import write_json
from compress.models.checkpoint import Checkpoint, load, save, weights_digest
from compress.models.cost import count_macs, count_parameters
from compress.models.modules import copied
from compress.prune.compensate import compensate
from compress.prune.plan import PruningPlan, save_plan
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.recalibrate import recalibrate
from compress.prune.restart import restart
from compress.report.schematic import unet_schematic
from compress.rundir import Stage
from compress.steps.workspace import Workspace

_COMPENSATION_SLICES = 64
"""Training slices that compensation looks at; 20,000 positions of each convolution are drawn from them."""

Kept = Mapping[str, Sequence[int]]
"""Group name -> the indices that stay."""
Ranker = Callable[[Checkpoint, Ratios, Scope], PruningPlan]
"""Ranks one network's channels by the request's criterion."""


@dataclass(frozen=True)
class Cut:
    """One pruning step."""

    source: Checkpoint
    """What is cut: the dense network, or the one that the round before has trained."""
    step: PruningPlan
    """What leaves `source`, in its own indices."""
    plan: PruningPlan
    """What has left the dense network by now, in the dense network's indices."""


def first_cut(dense: Checkpoint, plan: PruningPlan) -> Cut:
    """The dense network is ranked and cut: both plans are one."""
    return Cut(dense, plan, plan)


def next_cut(before: Cut, trained: Checkpoint, target: PruningPlan, rank: Ranker) -> Cut:
    """Cut the network that the last round trained to the widths that `target` leaves of the dense one."""
    step = rank(trained, ratios_between(before.plan.kept, target.kept), "local")
    return Cut(trained, step, with_kept(target, composed(before.plan.kept, step.kept)))


def epochs_per_round(total: int, rounds: int) -> tuple[int, ...]:
    """Retraining epochs of each round; the last takes the remainder. `ConfigError` when one would get none."""
    if rounds > 1 and total < rounds:
        raise ConfigError(
            f"{rounds} rounds of pruning need at least {rounds} epochs of retraining, got {total}.",
            cure="Raise pruning.finetune_epochs (--finetune), or prune in fewer rounds.",
        )
    each = total // rounds
    return (*[each] * (rounds - 1), total - each * (rounds - 1))


def ratios_after(ratios: Ratios, number: int, rounds: int) -> Ratios:
    """What the dense network has lost after round `number` (from 1); the last round's ratios are those asked for."""
    if number == rounds:
        return ratios

    def part(ratio: float) -> float:
        return 1 - (1 - ratio) ** (number / rounds)

    blocks = {name: part(ratio) for name, ratio in ratios.block_ratios.items()}
    return ratios.model_copy(update={"default": part(ratios.default), "block_ratios": blocks})


def ratios_between(before: Kept, after: Kept) -> Ratios:
    """Ratios that take every group from one width to another, exactly: the widths are aligned already."""
    lost = {name: 1 - len(after[name]) / len(kept) for name, kept in before.items() if len(after[name]) < len(kept)}
    return Ratios(default=0.0, block_ratios=lost, align="none")


def composed(before: Kept, later: Kept) -> dict[str, tuple[int, ...]]:
    """Indices of the dense network after two cuts, the second in indices of what the first had left."""
    return {
        name: tuple(kept[i] for i in later[name]) if name in later else tuple(kept)  # a last channel is no group
        for name, kept in before.items()
    }


def with_kept(plan: PruningPlan, kept: Kept) -> PruningPlan:
    """The same plan with other channels staying; its scores remain the dense network's."""
    groups = {
        name: replace(group, kept=tuple(kept[name]), achieved=1 - len(kept[name]) / group.width)
        for name, group in plan.groups.items()
    }
    return replace(plan, groups=groups)


def drop_rounds(stage: Stage, *, first: int) -> None:
    """Remove what an earlier pruning in more rounds has left: nobody should take it for a part of this one."""
    while stage.round(first).root.is_dir():
        shutil.rmtree(stage.round(first).root)
        first += 1


def realise(
    ws: Workspace, stage: Stage, dense: Checkpoint, cut: Cut, *, init: Init, seed: int, compensating: bool, title: str
) -> tuple[Checkpoint, Checkpoint]:
    """Write one cut's files; the smaller network as pruning leaves it, and what retraining starts from."""
    shown = _write_pruned(ws, stage, dense, cut, title)
    stage.compensation.unlink(missing_ok=True)
    if compensating:
        shown = _compensated(ws, stage, cut, shown, title)
    if ws.config.evaluation.bn_recalibration:
        shown = recalibrated(ws, shown)
    start = restart(init, pruned=shown, early=partial(load, _rewind_source(ws)), plan=cut.plan, seed=seed)
    save(stage.start, start.network, replace(start.meta, stage="start"))
    return shown, start


def recalibrated(ws: Workspace, checkpoint: Checkpoint) -> Checkpoint:
    """A copy whose BatchNorm statistics were measured again on training slices."""
    network = copied(checkpoint.network)
    recalibrate(network, _training_images(ws), batch_size=ws.config.train.batch_size, seed=ws.config.experiment.seed)
    return Checkpoint(network, replace(checkpoint.meta, digest=weights_digest(network, checkpoint.meta)))


def _training_images(ws: Workspace) -> np.ndarray:
    return np.concatenate([p.images for p in ws.prepared(ws.cases_of(ws.split.train))])


def _compensated(ws: Workspace, stage: Stage, cut: Cut, pruned: Checkpoint, title: str) -> Checkpoint:
    """A copy whose convolutions were fitted to the outputs that they had before the cut."""
    images, seed = _training_images(ws), ws.config.experiment.seed
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:_COMPENSATION_SLICES])
    ws.progress.note(f"Compensating {title}: fitting convolutions on {len(chosen)} training slices.")
    network = copied(pruned.network)
    repairs = compensate(cut.source.network, network, cut.step.kept, images[chosen], seed=seed)
    write_json(stage.compensation, [asdict(repair) for repair in repairs])
    return Checkpoint(network, replace(pruned.meta, digest=weights_digest(network, pruned.meta)))


def _write_pruned(ws: Workspace, stage: Stage, dense: Checkpoint, cut: Cut, title: str) -> Checkpoint:
    plan, pruned = cut.plan, rebuild_checkpoint(cut.source, cut.step)
    if plan is not cut.step:  # the description is of all rounds together
        described = rebuild_checkpoint(dense, plan).meta
        pruned = Checkpoint(pruned.network, replace(described, parent=cut.source.meta.digest))
    meta = save(stage.raw_pruned, pruned.network, pruned.meta)
    save_plan(plan, stage.plan)
    write_json(stage.masks, plan.masks())
    write_json(stage.meta, network_facts(ws, dense, pruned))
    before, after = dense.meta.arguments["widths"], meta.arguments["widths"]
    unet_schematic(
        stage.schematic,
        before,
        after,
        title=f"pruned-{title}: widths before and after pruning",
        phantom=meta.phantom,
    )
    return Checkpoint(pruned.network, meta)


def network_facts(ws: Workspace, dense: Checkpoint, pruned: Checkpoint) -> dict[str, object]:
    """meta.json: widths in the thesis's names and per convolution, and what pruning saved."""
    widths = pruned.meta.arguments["widths"]
    size = ws.config.data.size
    counts = {"parameters": count_parameters(pruned.network), "macs": count_macs(pruned.network, size=size)}
    dense_counts = {"parameters": count_parameters(dense.network), "macs": count_macs(dense.network, size=size)}
    return {
        "in_channels": pruned.meta.arguments["in_channels"],
        "out_channels": pruned.meta.arguments["out_channels"],
        "enc_features": [w[-1] for name, w in widths.items() if name.startswith("encoders.")],
        "dec_features": [w[-1] for name, w in widths.items() if name.startswith("decoders.")],
        "bottleneck_out": widths["bottleneck"][-1],
        "widths": widths,
        **counts,
        "dense": {"widths": dense.meta.arguments["widths"], **dense_counts},
        "image_size": list(size),
        "plan": pruned.meta.plan,
        "source": dense.meta.digest,
    }


def _rewind_source(ws: Workspace) -> Path:
    baseline = ws.run.baseline
    return baseline.early if ws.config.pruning.rewind_to == "early" else baseline.initial
