"""Which structures lose their small pieces in an exported file: as configured, or measured on the validation patients.

One rule for a structure is right only if it helps on the mean and hurts nobody: on the validation patients of ACDC the
myocardium of one heart lies in two true pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compress import records
from compress.data.pieces import drop_small
from compress.errors import ConfigError
from compress.evaluate.summary import VolumeScore, score_volume
from compress.evaluate.surface import hd95
from compress.models.checkpoint import Checkpoint
from compress.rundir import Stage
from compress.steps.reuse import Result
from compress.steps.scoring.cohort import predictions, torch_run
from compress.steps.workspace import Workspace
from compress.train.device import resolve_device

SHARE = 0.5
"""Of the largest piece: what helped on ACDC's validation patients and on others; keeping the largest alone did not."""
SHARES = (SHARE, 0.2, 0.1)
"""What `auto` tries, the first that helps is taken: a structure may have a true second piece."""
FOR_ALL: Mapping[str, float] = {"small-pieces": SHARE, "largest": 1.0}
CONFIGURED = "as configured, not measured"
WORST_DICE = 0.01
"""What no volume may lose."""


@dataclass(frozen=True)
class PieceEffect:
    """What dropping one structure's small pieces does to the validation volumes; distances where both are defined."""

    structure: str
    share: float
    volumes: int
    changed: int
    """Volumes whose mask changes."""
    dice: tuple[float, float]
    """Mean before and after."""
    hd95_mm: tuple[float, float]
    largest_loss: float
    """Of Dice in one volume."""

    @property
    def helps(self) -> bool:
        """The rule by which `auto` decides."""
        nearer = self.hd95_mm[1] < self.hd95_mm[0]
        return nearer and self.dice[1] >= self.dice[0] and self.largest_loss <= WORST_DICE


def small_pieces(ws: Workspace, stage: Stage, checkpoint: Checkpoint) -> tuple[dict[str, float], str]:
    """Structure -> share as `export.postprocess` wants it, and in words by what it was chosen.

    Raises `ConfigError` for a structure that the network does not know.
    """
    wanted = ws.config.export.postprocess
    if wanted == "none":
        return {}, ""
    if isinstance(wanted, dict):
        if unknown := set(wanted) - set(checkpoint.meta.labels):
            raise ConfigError(
                f"export.postprocess names {', '.join(sorted(unknown))}; "
                f"the network segments {', '.join(checkpoint.meta.labels)}."
            )
        return dict(wanted), CONFIGURED
    if wanted != "auto":
        return dict.fromkeys(ws.labels, FOR_ALL[wanted]), CONFIGURED
    shares: dict[str, float] = {}
    for effect in piece_effects(ws, stage, checkpoint):
        if effect.helps:
            shares.setdefault(effect.structure, effect.share)
    whom = f"{len(ws.split.val)} validation patients{' (phantom)' if ws.training.phantom else ''}"
    words = f"on {whom}: mean Dice not lower, mean HD95 lower, no volume lost more than {WORST_DICE} Dice"
    return shares, words if shares else ""


def piece_effects(ws: Workspace, stage: Stage, checkpoint: Checkpoint) -> list[PieceEffect]:
    """Measured once per network and cohort, for each of `SHARES` and each structure; small_pieces.json keeps it."""
    rules = ws.rules_of(checkpoint.meta)
    inputs = {"network": checkpoint.meta.digest, "data": ws.validation.identity(rules), "shares": SHARES}
    result = Result(stage.small_pieces, inputs)
    stored = result.stored(lambda document: [_restored(row) for row in document["effects"]])
    if stored is not None:
        return stored
    run = torch_run(checkpoint.network, resolve_device(ws.config.experiment.device))
    whole: list[VolumeScore] = []
    dropped: dict[float, list[VolumeScore]] = {share: [] for share in SHARES}
    for each in predictions(ws, run, ws.validation, rules, name=f"Small pieces of {stage.root.name}", surface=hd95):
        whole.append(each.score)
        for share, scores in dropped.items():
            mask = drop_small(each.mask, dict.fromkeys(ws.labels.values(), share))
            same = mask is each.mask
            scores.append(each.score if same else score_volume(mask, each.volume, labels=ws.labels, surface=hd95))
    effects = [
        _effect(name, share, list(zip(whole, scores, strict=True)))
        for share, scores in dropped.items()
        for name in ws.labels
    ]
    result.store({"effects": [records.as_json(effect) for effect in effects]})
    return effects


def _effect(name: str, share: float, pairs: list[tuple[VolumeScore, VolumeScore]]) -> PieceEffect:
    both = [(before.structures[name], after.structures[name]) for before, after in pairs]
    dice = np.array([[score.overlap["dice"] for score in pair] for pair in both])
    far = np.array([[score.hd95_mm for score in pair] for pair in both], float)  # None becomes NaN
    defined = far[~np.isnan(far).any(axis=1)]
    before, after = dice.mean(axis=0)
    far_before, far_after = defined.mean(axis=0) if len(defined) else (0.0, 0.0)
    changed = sum(first.prediction_ml != second.prediction_ml for first, second in both)
    loss = float((dice[:, 0] - dice[:, 1]).max())
    return PieceEffect(
        name, share, len(both), changed, (float(before), float(after)), (float(far_before), float(far_after)), loss
    )


def _restored(row: Mapping[str, object]) -> PieceEffect:
    return records.from_json(PieceEffect, row, what="the effect of small pieces", cure="Export again.")
