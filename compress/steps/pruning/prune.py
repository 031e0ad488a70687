"""Prune the dense network, restart its weights, retrain it, and say what every step did to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compress.config import Init, Method, Ratios, Schedule, Scope
from compress.errors import ConfigError
from compress.evaluate.summary import EvaluationReport
from compress.files import read_json
from compress.models.checkpoint import Checkpoint, save
from compress.prune.plan import PruningPlan, load_plan
from compress.rundir import Stage
from compress.steps.pruning.ranking import ranked
from compress.steps.pruning.rounds import (
    Cut,
    drop_rounds,
    epochs_per_round,
    first_cut,
    next_cut,
    ratios_after,
    realise,
    with_kept,
)
from compress.steps.scoring.checkpoint import evaluate_checkpoint
from compress.steps.training.dense import check_shape, dense_checkpoint
from compress.steps.training.network import AS_DENSE, NO_EFFORT, Effort, Policy, Recovery, train_stage
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
    """Fit kept weights to the dense network's outputs before retraining; only for the initialisation none."""
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
        scope=pruning.scope,
        floor=pruning.floor,
        schedule=pruning.schedule,
        distill=pruning.distill,
        temperature=pruning.distill_temperature,
        rounds=pruning.rounds,
        compensate=pruning.compensate,
    )


def prune_and_retrain(ws: Workspace, request: PruneRequest, *, policy: Policy = REPLACE) -> PruneResult:
    """The whole chain from the dense network to a retrained smaller one, in one or more rounds.

    Every initialisation gets the same epochs and the same schedule. Raises `CheckpointError` without
    a dense network and `PlanError` for ratios that cannot be applied.
    """
    budgets = epochs_per_round(request.epochs, request.rounds)
    ws.describe()
    check_shape(ws)
    dense = dense_checkpoint(ws)
    stage = ws.run.pruned(request.name or request.init)
    wanted = make_plan(ws, dense, request)
    _guard_unfinished(stage, wanted, policy, any_channels=request.rounds > 1)
    if request.compensate and request.init != "none":
        ws.progress.note(f"Compensation fits kept weights; {stage.root.name} starts from {request.init} ones.")
    cut, spent = _earlier_rounds(ws, stage, dense, request, wanted, budgets[:-1], policy)
    _guard_unfinished(stage, cut.plan, policy)
    shown, start = _realise(ws, stage, dense, cut, request, stage.root.name)
    name = f"pruned-{stage.root.name}"
    after = evaluate_checkpoint(ws, shown, stage.evaluation_after_pruning, name=f"{name}, not retrained")
    final = _retrain(ws, stage, start, request, budgets[-1], policy, spent, stage.root.name)
    report = evaluate_checkpoint(ws, final, stage.evaluation, name=name)
    return PruneResult(stage, cut.plan, final, after, report)


def _earlier_rounds(
    ws: Workspace,
    stage: Stage,
    dense: Checkpoint,
    request: PruneRequest,
    wanted: PruningPlan,
    budgets: tuple[int, ...],
    policy: Policy,
) -> tuple[Cut, Effort]:
    """Cut and retrain in `rounds/<i>` but for the last round, whose cut is returned with the effort so far."""
    drop_rounds(stage, first=request.rounds)

    def target(number: int) -> PruningPlan:
        if number == request.rounds:
            return wanted
        return make_plan(ws, dense, replace(request, ratios=ratios_after(request.ratios, number, request.rounds)))

    def rank_again(source: Checkpoint, ratios: Ratios, scope: Scope) -> PruningPlan:
        return make_plan(ws, source, replace(request, ratios=ratios, scope=scope))

    cut, spent = first_cut(dense, target(1)), NO_EFFORT
    for number, epochs in enumerate(budgets, start=1):
        between, title = stage.round(number), f"{stage.root.name}, round {number} of {request.rounds}"
        _guard_unfinished(between, cut.plan, policy)
        _, start = _realise(ws, between, dense, cut, request, title)
        trained = _retrain(ws, between, start, request, epochs, policy, spent, title)
        record = read_json(between.record)
        spent = Effort(record["epochs"], record["seconds"])
        cut = next_cut(cut, trained, target(number + 1), rank_again)
    return cut, spent


def _realise(
    ws: Workspace, stage: Stage, dense: Checkpoint, cut: Cut, request: PruneRequest, title: str
) -> tuple[Checkpoint, Checkpoint]:
    seed, compensating = seed_of(ws, request), request.compensate and request.init == "none"
    return realise(ws, stage, dense, cut, init=request.init, seed=seed, compensating=compensating, title=title)


def seed_of(ws: Workspace, request: PruneRequest) -> int:
    """The seed of one request; the split of the patients never depends on it."""
    return ws.config.experiment.seed if request.seed is None else request.seed


def make_plan(ws: Workspace, source: Checkpoint, request: PruneRequest) -> PruningPlan:
    """Rank a network's channels by the request's criterion and ratios."""
    return ranked(
        ws,
        source,
        ratios=request.ratios,
        method=request.method,
        scope=request.scope,
        floor=request.floor,
        seed=seed_of(ws, request),
    )


def _guard_unfinished(stage: Stage, plan: PruningPlan, policy: Policy, *, any_channels: bool = False) -> None:
    """Refuse before the first file of an interrupted retraining would be written over.

    any_channels: which channels stay is not known yet, so only the rest of the plan is compared.
    """
    if not stage.resume.is_file() or policy.unfinished == "restart":
        return
    if policy.unfinished == "refuse":
        raise ConfigError(
            f"{stage.root} holds an unfinished retraining.",
            cure="Continue it with --resume, start over with --restart, or choose another --name.",
        )
    if not stage.plan.is_file():
        return
    stored = load_plan(stage.plan)
    if any_channels and stored.kept.keys() == plan.kept.keys():
        plan = with_kept(plan, stored.kept)
    if stored.digest != plan.digest:
        raise ConfigError(
            f"{stage.root} holds an unfinished retraining of another pruning plan.",
            cure="Start over with --restart, or choose another --name.",
        )


def _retrain(
    ws: Workspace,
    stage: Stage,
    start: Checkpoint,
    request: PruneRequest,
    epochs: int,
    policy: Policy,
    spent: Effort,
    title: str,
) -> Checkpoint:
    if epochs == 0:
        saved = save(stage.final, start.network, start.meta)
        for path in (stage.record, stage.metrics, stage.curves, stage.resume):
            path.unlink(missing_ok=True)
        return Checkpoint(start.network, saved)
    recovery, seed = recovery_of(ws, request), seed_of(ws, request)
    return finetune(
        ws, stage, start, epochs=epochs, policy=policy, seed=seed, recovery=recovery, spent=spent, title=title
    )


def recovery_of(ws: Workspace, request: PruneRequest) -> Recovery:
    """How a request wants its network retrained; the teacher is the dense network."""
    teacher = dense_checkpoint(ws) if request.distill else None
    return Recovery(request.schedule, request.distill, request.temperature, teacher)


def finetune(
    ws: Workspace,
    stage: Stage,
    start: Checkpoint,
    *,
    epochs: int,
    policy: Policy,
    seed: int | None = None,
    recovery: Recovery = AS_DENSE,
    spent: Effort = NO_EFFORT,
    title: str = "",
) -> Checkpoint:
    """Retrain, by default with the dense network's full schedule (Renda 2020, arXiv:2003.02389)."""
    return train_stage(
        ws,
        stage,
        start.network,
        replace(start.meta, stage="finetuned"),
        epochs=epochs,
        policy=policy,
        name=f"Retraining {title or stage.root.name}",
        seed=seed,
        recovery=recovery,
        spent=spent,
    )
