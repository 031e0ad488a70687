"""Which structures lose small and bare pieces, and whose holes are filled: as configured, or measured on validation
patients.

One rule for a structure is right only if it helps on the mean and hurts nobody: on the validation patients of ACDC the
myocardium of one heart lies in two true pieces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from compress import records
from compress.config import Export
from compress.data.tidy import RINGS, Tidy, TidyRule, fillable, rings_of
from compress.errors import ConfigError
from compress.evaluate.summary import VolumeScore, score_volume
from compress.evaluate.surface import hd95
from compress.models.checkpoint import Checkpoint
from compress.steps.reuse import Result
from compress.steps.scoring.cohort import predictions, torch_run
from compress.steps.workspace import Workspace
from compress.train.device import resolve_device

SHARE = 0.5
"""Of the largest piece: what helped on ACDC's validation patients and on others; keeping the largest alone did not."""
SHARES = (SHARE, 0.2, 0.1)
"""What `auto` tries, the first that helps is taken: a structure may have a true second piece."""
FOR_ALL: Mapping[str, float] = {"small-pieces": SHARE, "largest": 1.0}
RULES = ("holes", "bare")
"""What else `auto` tries, each alone and for all structures."""
_Tried = tuple[Literal["pieces", "holes", "bare"], float | None]
CONFIGURED = "as configured, not measured"
WORST_DICE = 0.01
"""What no volume may lose."""


@dataclass(frozen=True)
class TidyEffect:
    """What one rule for one structure does to the validation volumes; distances where both are defined."""

    structure: str
    rule: Literal["pieces", "holes", "bare"]
    share: float | None
    """Below which pieces are dropped."""
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
        """The rule by which `auto` decides: dropping pieces is for distances, the others for Dice; none may cost."""
        (dice, new_dice), (far, new_far) = self.dice, self.hd95_mm
        gains = new_far < far if self.rule == "pieces" else new_dice > dice
        return gains and new_dice >= dice and new_far <= far and self.largest_loss <= WORST_DICE


def tidy_rule(ws: Workspace, place: Path, checkpoint: Checkpoint) -> TidyRule:
    """What `export.postprocess`, `fill_holes` and `drop_bare` want for a network; `place` keeps what was measured.

    Raises `ConfigError` for a structure that the network does not know, and for holes of a ring without what it
    encloses.
    """
    wanted = ws.config.export
    labels = sorted(checkpoint.meta.labels, key=checkpoint.meta.labels.__getitem__)  # as a card has them
    auto = "auto" in (wanted.postprocess, wanted.holes, wanted.bare)
    effects = [each for each in tidy_effects(ws, place, checkpoint) if each.helps] if auto else []
    asked, holes = _wanted_shares(wanted, labels, effects), _wanted_holes(wanted, labels, effects)
    shares = {name: asked[name] for name in labels if name in asked}
    pieces = _chosen(ws, wanted.postprocess, "mean Dice not lower, mean HD95 lower")
    filled, emptied = (
        _chosen(ws, rule, "mean Dice higher, mean HD95 not higher") for rule in (wanted.holes, wanted.bare)
    )
    bare = _wanted_bare(wanted, labels, effects)
    return TidyRule(shares, pieces if shares else "", holes, filled if holes else "", bare, emptied if bare else "")


def _chosen(ws: Workspace, rule: object, gain: str) -> str:
    if rule != "auto":
        return CONFIGURED
    whom = f"{len(ws.split.val)} validation patients{' (phantom)' if ws.training.phantom else ''}"
    return f"on {whom}: {gain}, no volume lost more than {WORST_DICE} Dice"


def _wanted_shares(wanted: Export, labels: Sequence[str], helping: Sequence[TidyEffect]) -> dict[str, float]:
    if wanted.postprocess == "none":
        return {}
    if isinstance(wanted.postprocess, dict):
        _check_known("export.postprocess", wanted.postprocess, labels)
        return dict(wanted.postprocess)
    if wanted.postprocess != "auto":
        return dict.fromkeys(labels, FOR_ALL[wanted.postprocess])
    shares: dict[str, float] = {}
    for effect in helping:
        if effect.rule == "pieces" and effect.share is not None:
            shares.setdefault(effect.structure, effect.share)
    return shares


def _wanted_holes(wanted: Export, labels: Sequence[str], helping: Sequence[TidyEffect]) -> tuple[str, ...]:
    """In the order of the labels, as the card has them."""
    known = fillable(labels)
    if wanted.holes == "none":
        return ()
    if wanted.holes == "all":
        return known
    if wanted.holes == "auto":
        helped = {effect.structure for effect in helping if effect.rule == "holes"}
        return tuple(name for name in known if name in helped)
    _check_known("export.fill_holes", wanted.holes, labels)
    if rings := [name for name in wanted.holes if name not in known]:
        raise ConfigError(
            f"export.fill_holes names {rings[0]}, whose hole may be the {RINGS[rings[0]]}, not segmented."
        )
    return tuple(name for name in labels if name in wanted.holes)


def _wanted_bare(wanted: Export, labels: Sequence[str], helping: Sequence[TidyEffect]) -> dict[str, str]:
    if wanted.bare == "none":
        return {}
    helped = {effect.structure for effect in helping if effect.rule == "bare"}
    return {ring: inner for ring, inner in rings_of(labels).items() if wanted.bare == "all" or inner in helped}


def _check_known(key: str, named: Collection[str], labels: Sequence[str]) -> None:
    if unknown := set(named) - set(labels):
        raise ConfigError(f"{key} names {', '.join(sorted(unknown))}; the network segments {', '.join(labels)}.")


def tidy_effects(ws: Workspace, place: Path, checkpoint: Checkpoint) -> list[TidyEffect]:
    """Measured once per network and cohort, for every rule and each structure; `place` keeps it."""
    rules = ws.rules_of(checkpoint.meta)
    inputs = {"network": checkpoint.meta.digest, "data": ws.validation.identity(rules)}
    result = Result(place, {**inputs, "shares": SHARES, "others": RULES})
    stored = result.stored(lambda document: [_restored(row) for row in document["effects"]])
    if stored is not None:
        return stored
    run = torch_run(checkpoint.network, resolve_device(ws.config.experiment.device))
    tried: dict[_Tried, Tidy] = {("pieces", share): Tidy(dict.fromkeys(ws.labels.values(), share)) for share in SHARES}
    tried["holes", None] = TidyRule(holes=fillable(ws.labels)).on(ws.labels)
    tried["bare", None] = TidyRule(bare=rings_of(ws.labels)).on(ws.labels)
    whole: list[VolumeScore] = []
    tidied: dict[_Tried, list[VolumeScore]] = {rule: [] for rule in tried}
    for each in predictions(ws, run, ws.validation, rules, name="Trying post-processing", surface=hd95):
        whole.append(each.score)
        for rule, tidy in tried.items():
            mask = tidy(each.mask)
            same = mask is each.mask
            tidied[rule].append(each.score if same else score_volume(mask, each.volume, labels=ws.labels, surface=hd95))
    effects = [
        _effect(name, rule, list(zip(whole, scores, strict=True)))
        for rule, scores in tidied.items()
        for name in ws.labels
    ]
    result.store({"effects": [records.as_json(effect) for effect in effects]})
    return effects


def _effect(name: str, rule: _Tried, pairs: list[tuple[VolumeScore, VolumeScore]]) -> TidyEffect:
    both = [(before.structures[name], after.structures[name]) for before, after in pairs]
    dice = np.array([[score.overlap["dice"] for score in pair] for pair in both])
    far = np.array([[score.hd95_mm for score in pair] for pair in both], float)  # None becomes NaN
    defined = far[~np.isnan(far).any(axis=1)]
    before, after = dice.mean(axis=0)
    far_before, far_after = defined.mean(axis=0) if len(defined) else (0.0, 0.0)
    changed = sum(first.prediction_ml != second.prediction_ml for first, second in both)
    loss = float((dice[:, 0] - dice[:, 1]).max())
    return TidyEffect(
        name, *rule, len(both), changed, (float(before), float(after)), (float(far_before), float(far_after)), loss
    )


def _restored(row: Mapping[str, object]) -> TidyEffect:
    return records.from_json(TidyEffect, row, what="the effect of post-processing", cure="Export again.")
