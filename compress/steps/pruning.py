"""Prune the dense network, restart its weights, retrain it, and say what every step did to it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.config import Init, Ratios
from compress.errors import ConfigError
from compress.evaluate.summary import EvaluationReport
from compress.files import write_json
from compress.models.checkpoint import Checkpoint, load, save, weights_digest
from compress.models.cost import count_macs, count_parameters
from compress.prune.plan import PruningPlan, load_plan, rank, save_plan
from compress.prune.rebuild import rebuild
from compress.prune.recalibrate import recalibrate
from compress.prune.restart import restart
from compress.report.schematic import unet_schematic
from compress.rundir import Stage
from compress.steps.evaluating import evaluate_checkpoint
from compress.steps.stage import Policy, train_stage
from compress.steps.training import check_shape, dense_checkpoint
from compress.steps.workspace import Workspace

REPLACE = Policy(finished="replace")
"""Pruning again with other ratios replaces the earlier result; an unfinished one is never touched unasked."""


@dataclass(frozen=True)
class PruneRequest:
    """One pruned network that is wanted."""

    ratios: Ratios
    init: Init = "none"
    epochs: int = 0
    """Retraining epochs; 0 leaves the network as pruning left it."""
    name: str = ""
    """Folder under `pruned/`; the initialisation's name when empty."""
    method: str = "l1_norm"
    seed: int | None = None
    """Of random weights, random ranking and the order of training; null: experiment.seed."""


@dataclass(frozen=True)
class PruneResult:
    """What came out, and how well it did right after pruning and at the end."""

    stage: Stage
    plan: PruningPlan
    final: Checkpoint
    after_pruning: EvaluationReport
    after_retraining: EvaluationReport


def default_request(ws: Workspace) -> PruneRequest:
    """What the configuration's `pruning` section asks for; null epochs mean the dense budget."""
    pruning = ws.config.pruning
    epochs = pruning.finetune_epochs
    return PruneRequest(
        ratios=pruning.ratios,
        init=pruning.reinitialize_weights or "none",
        epochs=ws.config.train.parameters.num_epochs if epochs is None else epochs,
        method=pruning.method,
    )


def prune_and_retrain(ws: Workspace, request: PruneRequest, *, policy: Policy = REPLACE) -> PruneResult:
    """The whole chain from the dense network to a retrained smaller one.

    Every initialisation gets the same epochs and the same schedule. Raises `CheckpointError` without
    a dense network and `PlanError` for ratios that cannot be applied.
    """
    ws.describe()
    check_shape(ws)
    dense = dense_checkpoint(ws)
    stage = ws.run.pruned(request.name or request.init)
    plan = make_plan(ws, dense, request)
    _guard_unfinished(stage, plan, policy)
    pruned = _write_pruned(ws, stage, dense, plan)
    shown = recalibrated(ws, pruned) if ws.config.evaluation.bn_recalibration else pruned
    after = evaluate_checkpoint(
        ws, shown, stage.evaluation_after_pruning, name=f"pruned-{stage.root.name}, not retrained"
    )
    start = restart(
        request.init,
        pruned=shown,
        early=lambda: load(_rewind_source(ws)),
        plan=plan,
        seed=seed_of(ws, request),
    )
    save(stage.start, start.network, replace(start.meta, stage="start"))
    final = _retrain(ws, stage, start, request, policy)
    report = evaluate_checkpoint(ws, final, stage.evaluation, name=f"pruned-{stage.root.name}")
    return PruneResult(stage, plan, final, after, report)


def seed_of(ws: Workspace, request: PruneRequest) -> int:
    """The seed of one request; the split of the patients never depends on it."""
    return ws.config.experiment.seed if request.seed is None else request.seed


def make_plan(ws: Workspace, dense: Checkpoint, request: PruneRequest) -> PruningPlan:
    """Rank the dense network's channels by the request's criterion and ratios."""
    return rank(
        dense.network,
        in_channels=dense.meta.arguments["in_channels"],
        criterion=request.method,
        default=request.ratios.default,
        block_ratios=dict(request.ratios.block_ratios),
        seed=seed_of(ws, request),
        source=dense.meta.digest,
    )


def recalibrated(ws: Workspace, checkpoint: Checkpoint) -> Checkpoint:
    """A copy whose BatchNorm statistics were measured again on training slices."""
    images = np.concatenate([p.images for p in ws.prepared(ws.studies_of(ws.split.train))])
    network = deepcopy(checkpoint.network)
    recalibrate(network, images, batch_size=ws.config.train.batch_size, seed=ws.config.experiment.seed)
    return Checkpoint(network, replace(checkpoint.meta, digest=weights_digest(network, checkpoint.meta)))


def _write_pruned(ws: Workspace, stage: Stage, dense: Checkpoint, plan: PruningPlan) -> Checkpoint:
    pruned = rebuild(dense, plan)
    meta = save(stage.raw_pruned, pruned.network, pruned.meta)
    save_plan(plan, stage.plan)
    write_json(stage.masks, plan.masks())
    write_json(stage.meta, network_facts(ws, dense, pruned))
    before, after = dense.meta.arguments["widths"], meta.arguments["widths"]
    unet_schematic(
        stage.schematic,
        before,
        after,
        title=f"pruned-{stage.root.name}: widths before and after pruning",
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


def _guard_unfinished(stage: Stage, plan: PruningPlan, policy: Policy) -> None:
    """Refuse before the first file of an interrupted retraining would be written over."""
    if not stage.resume.is_file() or policy.unfinished == "restart":
        return
    if policy.unfinished == "refuse":
        raise ConfigError(
            f"{stage.root} holds an unfinished retraining.",
            cure="Continue it with --resume, start over with --restart, or choose another --name.",
        )
    if stage.plan.is_file() and load_plan(stage.plan).digest != plan.digest:
        raise ConfigError(
            f"{stage.root} holds an unfinished retraining of another pruning plan.",
            cure="Start over with --restart, or choose another --name.",
        )


def _rewind_source(ws: Workspace) -> Path:
    baseline = ws.run.baseline
    return baseline.early if ws.config.pruning.rewind_to == "early" else baseline.initial


def _retrain(ws: Workspace, stage: Stage, start: Checkpoint, request: PruneRequest, policy: Policy) -> Checkpoint:
    if request.epochs == 0:
        saved = save(stage.final, start.network, start.meta)
        for path in (stage.record, stage.metrics, stage.curves, stage.resume):
            path.unlink(missing_ok=True)
        return Checkpoint(start.network, saved)
    return finetune(ws, stage, start, epochs=request.epochs, policy=policy, seed=seed_of(ws, request))


def finetune(
    ws: Workspace, stage: Stage, start: Checkpoint, *, epochs: int, policy: Policy, seed: int | None = None
) -> Checkpoint:
    """Retrain with the dense network's recipe and full learning-rate schedule (Renda 2020, arXiv:2003.02389)."""
    name = f"Retraining {stage.root.name}"
    meta = replace(start.meta, stage="finetuned")
    return train_stage(ws, stage, start.network, meta, epochs=epochs, policy=policy, name=name, seed=seed)
