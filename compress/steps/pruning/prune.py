"""Prune the dense network, restart its weights, retrain it, and say what every step did to it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from functools import cached_property

from compress.config import Pruning
from compress.config.read import save_config
from compress.errors import ConfigError
from compress.evaluate.summary import EvaluationReport
from compress.models.checkpoint import Checkpoint, load, save
from compress.prune.plan import PruningPlan, load_plan
from compress.prune.rebuild import rebuild_checkpoint
from compress.rundir import Stage
from compress.steps.pruning.cut import realise
from compress.steps.pruning.depth import restructured
from compress.steps.pruning.ranking import rank
from compress.steps.pruning.request import epochs_of, macs_share, recovery_of, seed_of
from compress.steps.pruning.rounds import Cut, epochs_per_round, first_cut, ratios_after, ratios_between, with_kept
from compress.steps.scoring.checkpoint import evaluate_checkpoint
from compress.steps.training.dense import check_shape, dense_checkpoint
from compress.steps.training.network import build_recipe, check_training, effort_of, train_stage
from compress.steps.training.request import NO_EFFORT, Effort, Policy, Recovery, Training
from compress.steps.workspace import Workspace
from compress.train.trainer import read_state

REPLACE = Policy(finished="replace")
"""Pruning again with other ratios replaces the earlier result; an unfinished one is never touched unasked."""


@dataclass(frozen=True)
class PruneResult:
    """What came out, and how well it did right after pruning and at the end."""

    stage: Stage
    plan: PruningPlan
    final: Checkpoint
    after_pruning: EvaluationReport
    after_retraining: EvaluationReport


def prune_and_retrain(ws: Workspace, wanted: Pruning, *, policy: Policy = REPLACE) -> PruneResult:
    """The whole chain from the dense network to a retrained smaller one, in one or more rounds.

    Its folder's config.yaml is the whole configuration with `wanted` as its `pruning` section.
    Every initialisation gets the same epochs and the same schedule. Raises `CheckpointError` without
    a dense network, `PlanError` for ratios that cannot be applied, and `ConfigError` for rounds without
    epochs and for earlier results that the policy refuses to touch.
    """
    epochs_per_round(epochs_of(ws, wanted), wanted.rounds)
    check_shape(ws)
    stage = ws.run.pruned(wanted.folder)
    _note_earlier_name(ws, wanted, stage)
    dense = restructured(ws, dense_checkpoint(ws), wanted.ratios)
    return _Pruning(ws, wanted, policy, dense, stage).run()


def finetune(ws: Workspace, stage: Stage, *, policy: Policy) -> tuple[Checkpoint, EvaluationReport]:
    """Retrain what pruning without epochs has left, as the configuration's `pruning` section wants it, and score it.

    Without epochs (0) it gets as many as the dense network had. Raises `CheckpointError` where nothing was pruned,
    and what `train_stage` raises.
    """
    wanted = ws.config.pruning
    start = _retrainable(load(stage.start))
    chosen = epochs_of(ws, wanted, macs_share(ws, start)) or ws.config.train.parameters.num_epochs
    title = f"Retraining {stage.root.name}"
    training = Training(stage, start, chosen, title, policy, recovery=recovery_of(ws, wanted))
    check_training(ws, training)  # before anything is written
    ws.describe("pruning")
    final = train_stage(ws, training)
    return final, evaluate_checkpoint(ws, final, stage.evaluation, name=f"pruned-{stage.root.name}")


@dataclass(frozen=True)
class _Round:
    """One round that is over."""

    stage: Stage
    cut: Cut
    pruned: Checkpoint
    trained: Checkpoint


@dataclass(frozen=True)
class _Pruning:
    """What all rounds of one pruning share."""

    ws: Workspace
    wanted: Pruning
    policy: Policy
    dense: Checkpoint
    """Without the depth that the ratios remove."""
    stage: Stage

    @property
    def name(self) -> str:
        return self.stage.root.name

    @cached_property
    def recovery(self) -> Recovery:
        """The same in every round: the teacher is read, and unlabelled images are looked through, once."""
        return recovery_of(self.ws, self.wanted)

    def run(self) -> PruneResult:
        """Cut and retrain round by round; all rounds but the last leave their files in `rounds/<i>`."""
        targets, wanted = self.targets(), self.wanted
        share = macs_share(self.ws, rebuild_checkpoint(self.dense, targets[-1]))
        first, *budgets = epochs_per_round(epochs_of(self.ws, wanted, share), wanted.rounds)
        self.guard(targets, [first, *budgets])
        self.begin()
        done = self.round(1, first_cut(self.dense, targets[0]), first, NO_EFFORT)
        for number, (target, epochs) in enumerate(zip(targets[1:], budgets, strict=True), start=2):
            done = self.round(number, self.next_cut(done, target), epochs, effort_of(done.stage))
        after = self.score_pruned(done.pruned)  # scored before it was retrained: this reads what is stored
        report = evaluate_checkpoint(self.ws, done.trained, self.stage.evaluation, name=f"pruned-{self.name}")
        return PruneResult(self.stage, done.cut.plan, done.trained, after, report)

    def targets(self) -> list[PruningPlan]:
        """What each round shall leave of the dense network."""
        wanted, rounds = self.wanted, self.wanted.rounds
        _explain_method(self.ws, wanted)
        whole = rank(self.ws, self.dense, wanted)
        steps = [wanted.but(ratios=ratios_after(wanted.ratios, i, rounds)) for i in range(1, rounds)]
        return [*(rank(self.ws, self.dense, step) for step in steps), whole]

    def guard(self, targets: list[PruningPlan], epochs: list[int]) -> None:
        """Refuse before the first file is written what a round would refuse.

        Which channels the later rounds keep is not known yet, so only the rest of their plans is compared.
        """
        for number, (target, budget) in enumerate(zip(targets, epochs, strict=True), start=1):
            stage = self.stage_of(number)
            _guard_unfinished(stage, target, self.policy, any_channels=number > 1)
            begun = stage.resume.is_file() and not stage.record.is_file()
            if begun and self.policy.unfinished == "resume" and budget:
                seed = seed_of(self.ws, self.wanted)
                read_state(stage.resume, build_recipe(self.ws, epochs=budget, seed=seed, recovery=self.recovery))

    def begin(self) -> None:
        """Nothing of an earlier pruning is in the way: say what is made now."""
        self.ws.describe("pruning")
        wanted = self.wanted
        save_config(self.ws.config.model_copy(update={"pruning": wanted}), self.stage.config)
        if wanted.compensate and not wanted.compensates:
            start = wanted.reinitialize_weights
            self.ws.progress.note(f"Compensation fits kept weights; {self.name} starts from {start} ones.")
        drop_rounds(self.stage, first=wanted.rounds)

    def stage_of(self, number: int) -> Stage:
        """The folder of a round; the last one's is the network's own."""
        return self.stage if number == self.wanted.rounds else self.stage.round(number)

    def next_cut(self, done: _Round, target: PruningPlan) -> Cut:
        """Cut the network that the last round trained to the widths that `target` leaves of the dense one."""
        ratios = ratios_between(done.cut.plan.kept, target.kept)
        step = rank(self.ws, done.trained, self.wanted.but(ratios=ratios, scope="local"))
        return done.cut.then(done.trained, step, target)

    def round(self, number: int, cut: Cut, epochs: int, spent: Effort) -> _Round:
        """One round, from the cut's files to the retrained network."""
        last = number == self.wanted.rounds
        stage = self.stage_of(number)
        title = self.name if last else f"{self.name}, round {number} of {self.wanted.rounds}"
        _guard_unfinished(stage, cut.plan, self.policy)
        pruned, start = realise(self.ws, stage, cut, self.wanted, title=title)
        if last:
            self.score_pruned(pruned)
        return _Round(stage, cut, pruned, self.retrain(stage, start, epochs, spent, title))

    def score_pruned(self, pruned: Checkpoint) -> EvaluationReport:
        name = f"pruned-{self.name}, not retrained"
        return evaluate_checkpoint(self.ws, pruned, self.stage.evaluation_after_pruning, name=name)

    def retrain(self, stage: Stage, start: Checkpoint, epochs: int, spent: Effort, title: str) -> Checkpoint:
        """By default with the dense network's full schedule (Renda 2020, arXiv:2003.02389)."""
        if epochs == 0:
            saved = save(stage.final, start.network, start.meta)
            for path in (stage.record, stage.metrics, stage.curves, stage.resume):
                path.unlink(missing_ok=True)
            return Checkpoint(start.network, saved)
        training = Training(
            stage,
            _retrainable(start),
            epochs,
            f"Retraining {title}",
            self.policy,
            seed=seed_of(self.ws, self.wanted),
            recovery=self.recovery,
            spent=spent,
        )
        return train_stage(self.ws, training)


def drop_rounds(stage: Stage, *, first: int) -> None:
    """Remove what an earlier pruning in more rounds has left: nobody should take it for a part of this one."""
    while stage.round(first).root.is_dir():
        shutil.rmtree(stage.round(first).root)
        first += 1


def _explain_method(ws: Workspace, wanted: Pruning) -> None:
    """Of an imported network: why it is ranked by this criterion, or that another is better."""
    if ws.brought is None or not str(ws.brought.arguments.get("settings", {}).get("norm_op")).startswith("Instance"):
        return
    why = "InstanceNorm divides the scale of a filter away, so the norm of its weights says little"
    if wanted.method == "bn-scale":
        ws.progress.note(f"Ranked by bn-scale, the norms' own scales: {why}.")
    elif wanted.method in ("l1", "l2"):
        ws.progress.warn(f"Ranked by {wanted.method}: {why}. --method bn-scale suits this network.")


def _note_earlier_name(ws: Workspace, wanted: Pruning, stage: Stage) -> None:
    """Up to version 0.4 keep was called none, in names of folders too: nothing is made twice without a word."""
    earlier = ws.run.pruned(re.sub(r"\bkeep\b", "none", wanted.folder))
    if wanted.reinitialize_weights == "keep" and earlier.root.is_dir() and not stage.config.is_file():
        ws.progress.warn(
            f"{earlier.root} may be this network: up to version 0.4 `keep` was called `none`. It stays as it is, and "
            f"{stage.root} is made anew. Stop and rename the folder to {stage.root.name} to go on with it."
        )


def _retrainable(start: Checkpoint) -> Checkpoint:
    """The weights that retraining begins with, described as what comes out of it."""
    return Checkpoint(start.network, replace(start.meta, stage="finetuned"))


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
