"""Dense beside pruned on the validation patients where pruning cost most, drawn once per pair of networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from compress.data.layouts import read_volume
from compress.data.rules import recentre_of
from compress.data.volume import Case
from compress.evaluate.summary import EvaluationReport
from compress.models.checkpoint import Checkpoint, load
from compress.report.slice_pictures import save_slices
from compress.report.slices import pick_pairs, slices_of_cases
from compress.runtime.predict import find
from compress.steps.reporting.facts import Network, dice_per_volume
from compress.steps.reuse import Result
from compress.steps.scoring.cohort import looker, torch_run
from compress.steps.workspace import Workspace
from compress.train.device import resolve_device

WORST = 3
"""Patients shown for their loss; one of median loss follows."""
SCHEMA = 2
"""The picture's version; raise when it is drawn in another way, and stored ones are drawn again."""


def pair_picture(ws: Workspace, dense: Network, pruned: Network) -> Path | None:
    """The picture of a pruned network beside the dense one, drawn where there is none from the same networks and data.

    Only the shown patients are predicted. None when the scores that choose them are missing, or hold no volume
    of the validation patients.
    """
    if dense.scores is None or pruned.scores is None:
        return None
    known = {case.name: case for case in ws.validation.cases}
    cases = [known[name] for name in largest_losses(dense.scores, pruned.scores) if name in known]
    stage = pruned.stage
    inputs = {
        "schema": SCHEMA,
        "networks": [dense.row["digest"], pruned.row["digest"]],
        "data": ws.validation.identity(ws.rules),
        "volumes": [case.name for case in cases],
    }
    result = Result(stage.pairs_record, inputs)
    if not cases:
        return None
    if stage.pairs.is_file() and result.stored() is not None:
        return stage.pairs
    stage.pairs_record.unlink(missing_ok=True)
    title, names = f"{pruned.name} beside {dense.name}", (dense.name, pruned.name)
    masks = _masks(ws, cases, (load(dense.stage.final), load(stage.final)), f"Drawing {title}")
    items = pick_pairs(slices_of_cases(cases, masks), worst=WORST)
    save_slices(stage.pairs, items, title, ws.labels, columns=names, phantom=ws.validation.phantom)
    result.store({})
    return stage.pairs


def largest_losses(dense: EvaluationReport, pruned: EvaluationReport) -> list[str]:
    """Volumes with the largest loss of mean Dice, one per patient, then the patient of median loss."""
    before, patients = dice_per_volume(dense), {v.name: v.patient for v in pruned.volumes}
    losses = {name: before[name] - dice for name, dice in dice_per_volume(pruned).items() if name in before}
    largest: dict[str, str] = {}
    for name in sorted(losses, key=lambda name: (-losses[name], name)):
        largest.setdefault(patients[name], name)
    volumes = list(largest.values())
    rest = volumes[WORST:]
    # The middle of all patients, or the nearest to it that is not among the worst.
    return volumes[:WORST] + rest[max(0, len(volumes) // 2 - WORST) :][:1]


def _masks(
    ws: Workspace, cases: list[Case], checkpoints: tuple[Checkpoint, ...], task_name: str
) -> Iterator[list[np.ndarray]]:
    """Every case's masks by each network, predicted when asked for."""
    with ws.progress.task(task_name, len(cases)) as task:
        for case in cases:
            yield [_mask(ws, case, checkpoint) for checkpoint in checkpoints]
            task.advance(info=case.name)


def _mask(ws: Workspace, case: Case, checkpoint: Checkpoint) -> np.ndarray:
    run = torch_run(checkpoint.network, resolve_device(ws.config.experiment.device))
    rules = ws.rules_of(checkpoint.meta)
    look = looker(ws, case, read_volume(case), rules)
    return find(run, look, recentre=recentre_of(rules), batch_size=ws.config.evaluation.batch_size).mask
