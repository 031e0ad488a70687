"""One cut made real: the smaller network, its files, and the weights that retraining starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from compress.config import Pruning
from compress.files import write_json
from compress.models.build import widths_of
from compress.models.checkpoint import Checkpoint, load, save, weights_digest
from compress.models.cost import count_macs, count_parameters
from compress.models.modules import copied
from compress.models.unet import Widths
from compress.prune.compensate import compensate, kept_outputs
from compress.prune.plan import save_plan
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.recalibrate import recalibrate
from compress.prune.restart import restart
from compress.report.schematic import unet_schematic
from compress.rundir import Stage
from compress.steps.pruning.depth import fitting_slices, restructured
from compress.steps.pruning.request import seed_of
from compress.steps.pruning.rounds import Cut
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace


def realise(ws: Workspace, stage: Stage, cut: Cut, wanted: Pruning, *, title: str) -> tuple[Checkpoint, Checkpoint]:
    """Write one cut's files; the smaller network as pruning leaves it, and what retraining starts from."""
    pruned = _write_pruned(ws, stage, cut, title)
    stage.compensation.unlink(missing_ok=True)
    if wanted.compensates:
        pruned = _compensated(ws, stage, cut, pruned, title)
    if ws.config.evaluation.bn_recalibration:
        pruned = recalibrated(ws, pruned)
    early = ws.run.baseline.early if ws.config.pruning.rewind_to == "early" else ws.run.baseline.initial
    start = restart(
        wanted.reinitialize_weights,
        pruned=pruned,
        early=lambda: restructured(ws, load(early), wanted.ratios),
        plan=cut.plan,
        seed=seed_of(ws, wanted),
    )
    save(stage.start, start.network, replace(start.meta, stage="start"))
    return pruned, start


def recalibrated(ws: Workspace, checkpoint: Checkpoint) -> Checkpoint:
    """A copy whose BatchNorm statistics were measured again on training slices."""
    network = copied(checkpoint.network)
    recalibrate(network, ws.training_images(), batch_size=ws.config.train.batch_size, seed=ws.config.experiment.seed)
    return Checkpoint(network, replace(checkpoint.meta, digest=weights_digest(network, checkpoint.meta)))


def _compensated(ws: Workspace, stage: Stage, cut: Cut, pruned: Checkpoint, title: str) -> Checkpoint:
    """A copy whose convolutions were fitted to the outputs that they had before the cut."""
    images, seed = fitting_slices(ws), ws.config.experiment.seed
    ws.progress.note(f"Compensating {title}: fitting convolutions on {len(images)} training slices.")
    network = copied(pruned.network)
    repairs = compensate(cut.source.network, network, kept_outputs(cut.step), images, seed=seed)
    write_json(stage.compensation, [asdict(repair) for repair in repairs])
    return Checkpoint(network, replace(ws.learnt(pruned.meta), digest=weights_digest(network, pruned.meta)))


def _write_pruned(ws: Workspace, stage: Stage, cut: Cut, title: str) -> Checkpoint:
    dense, plan, pruned = cut.dense, cut.plan, rebuild_checkpoint(cut.source, cut.step)
    if plan is not cut.step:  # the description is of all rounds together
        described = rebuild_checkpoint(dense, plan).meta
        pruned = Checkpoint(pruned.network, replace(described, parent=cut.source.meta.digest))
    meta = save(stage.raw_pruned, pruned.network, pruned.meta)
    save_plan(plan, stage.plan)
    whole = dense_checkpoint(ws)  # `dense` may have lost depth already
    drawn = "widths" in whole.meta.arguments  # the picture and moves of depth are of our own U-Net
    before, after = (each.meta.arguments["widths"] if drawn else {} for each in (whole, pruned))
    write_json(stage.masks, {**plan.masks(), **masks_of_gone(before, after)})
    write_json(stage.meta, network_facts(ws, whole, pruned))
    if drawn:
        heading = f"pruned-{title}: widths before and after pruning"
        unet_schematic(stage.schematic, before, after, title=heading, phantom=meta.phantom)
    return Checkpoint(pruned.network, meta)


def masks_of_gone(before: Widths, after: Widths) -> dict[str, list[bool]]:
    """Masks of the convolutions that went as a whole, by name."""
    left = dict(_convolutions(after))
    return {name: [False] * width for name, width in _convolutions(before) if width and not left[name]}


def _convolutions(widths: Widths) -> Iterator[tuple[str, int]]:
    """Every convolution as `PruningPlan.masks` names it, and its width: the last of a block has the block's name."""
    for block, sizes in widths.items():
        yield from zip([block] if len(sizes) == 1 else [f"{block}.conv1", block], sizes, strict=True)


def network_facts(ws: Workspace, dense: Checkpoint, pruned: Checkpoint) -> dict[str, object]:
    """meta.json: widths in the thesis's names and per convolution, and what pruning saved."""
    widths = widths_of(pruned.network, pruned.meta.arguments)
    size = ws.rules.size
    counts = {"parameters": count_parameters(pruned.network), "macs": count_macs(pruned.network, size=size)}
    dense_counts = {"parameters": count_parameters(dense.network), "macs": count_macs(dense.network, size=size)}
    return {
        "in_channels": pruned.meta.arguments["in_channels"],
        "out_channels": pruned.meta.arguments["out_channels"],
        **_thesis_names(widths),
        "widths": widths,
        "removed": [name for name, width in _convolutions(widths) if width == 0],
        **counts,
        "dense": {"widths": widths_of(dense.network, dense.meta.arguments), **dense_counts},
        "image_size": list(size),
        "plan": pruned.meta.plan,
        "source": dense.meta.digest,
    }


def _thesis_names(widths: dict[str, list[int]]) -> dict[str, object]:
    if "bottleneck" not in widths:
        return {}
    return {
        "enc_features": [w[-1] for name, w in widths.items() if name.startswith("encoders.")],
        "dec_features": [w[-1] for name, w in widths.items() if name.startswith("decoders.")],
        "bottleneck_out": widths["bottleneck"][-1],
    }
