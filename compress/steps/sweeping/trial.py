"""One combination of a sweep, the same wherever it runs: a network pruned, retrained, exported and summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compress.config import Init, Pruning, RatioSet
from compress.steps.exporting.export import export_stage
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.reporting.summary import summarise
from compress.steps.training.request import Policy
from compress.steps.workspace import Workspace

CONTINUE_PRUNED = Policy(unfinished="resume", finished="replace")


@dataclass(frozen=True)
class Trial:
    """What is trained."""

    ratio_set: str
    wanted: Pruning


def trials_of(ws: Workspace) -> list[Trial]:
    """One for every combination; without ratio sets, the configured ratios."""
    chosen = ws.config.sweep
    sets = chosen.ratio_sets or [RatioSet(name="config", ratios=ws.config.pruning.ratios)]

    def trial(chosen: RatioSet, init: Init, seed: int) -> Trial:
        name = f"{chosen.name}-{init}-seed{seed}"
        changed = {"ratios": chosen.ratios, "reinitialize_weights": init, "seed": seed, "name": name}
        return Trial(chosen.name, ws.config.pruning.but(**changed))

    return [trial(s, init, seed) for s in sets for init in chosen.inits for seed in chosen.seeds]


def run_trial(ws: Workspace, trial: Trial) -> dict[str, Any]:
    """Its row of the table. What an earlier run finished is kept, what it began goes on."""
    wanted = trial.wanted
    result = prune_and_retrain(ws, wanted, policy=CONTINUE_PRUNED)
    export_stage(ws, result.stage)
    row = summarise(ws, wanted.folder, result.stage)
    return row | {"init": wanted.reinitialize_weights, "ratio_set": trial.ratio_set, "seed": wanted.seed}
