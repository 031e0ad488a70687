"""Scoring a network, whatever computes it, on the native grid of a cohort's volumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from compress.data.cache import prepare
from compress.data.dataset import spread
from compress.data.layouts import read_volume
from compress.data.prepared import Prepared
from compress.data.preprocess import CENTRED, Preprocessing, Shift
from compress.data.rules import Rules, recentre_of
from compress.data.tidy import AS_FOUND, Tidy
from compress.data.volume import Case, Volume
from compress.evaluate.metrics import SurfaceDistance
from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate, score_volume
from compress.rundir import cache_dir
from compress.runtime.predict import Look, Run, find
from compress.steps.workspace import Cohort, Workspace
from compress.train.validate import predict_slices


@dataclass(frozen=True)
class Prediction:
    """One case: what it holds, what was predicted, and how well."""

    volume: Volume
    mask: np.ndarray
    """(Z, Y, X) predicted labels."""
    score: VolumeScore


def torch_run(network: nn.Module, device: torch.device) -> Run:
    """A network as a function from images to logits, in full precision."""
    placed = network.to(device=device, memory_format=torch.channels_last).eval()  # pyright: ignore
    return lambda images: predict_slices(placed, images, device=device, batch_size=len(images))


def score_cohort(
    ws: Workspace, run: Run, cohort: Cohort, rules: Rules, *, name: str, tidy: Tidy = AS_FOUND
) -> EvaluationReport:
    """Predict and score every case of the cohort; `name` is what progress says."""
    return evaluate(scored.score for scored in predictions(ws, run, cohort, rules, name=name, tidy=tidy))


def predictions(
    ws: Workspace,
    run: Run,
    cohort: Cohort,
    rules: Rules,
    *,
    name: str,
    surface: SurfaceDistance | None = None,
    tidy: Tidy = AS_FOUND,
) -> Iterator[Prediction]:
    """Predict and score case after case; `surface` adds HD95.

    With `evaluation.num_slices_per_volume` only that many evenly spread slices are predicted and
    scored: volumes in ml then mean those slices alone.
    """
    with ws.progress.task(name, len(cohort.cases)) as task:
        for case in cohort.cases:
            volume, mask = _predicted(ws, run, case, rules, tidy)
            score = score_volume(mask, volume, labels=cohort.labels, surface=surface)
            yield Prediction(volume, mask, score)
            task.advance(info=f"{case.name} {score.mean_dice:.3f}")


def _predicted(ws: Workspace, run: Run, case: Case, rules: Rules, tidy: Tidy) -> tuple[Volume, np.ndarray]:
    """The volume and its mask, of as many slices as are to be scored."""
    wanted, batch = ws.config.evaluation.num_slices_per_volume, ws.config.evaluation.batch_size
    volume = read_volume(case)
    told = {"recentre": recentre_of(rules), "batch_size": batch, "tidy": tidy}
    if wanted is None:
        return volume, find(run, looker(ws, case, volume, rules), **told).mask
    index = spread(len(volume.shown), wanted)
    assert volume.mask is not None
    thin = replace(volume, image=volume.image[..., index, :, :], mask=volume.mask[index])
    if not isinstance(rules, Preprocessing):  # tiles, whose place is known of the whole volume alone
        return thin, find(run, looker(ws, case, volume, rules), **told).mask[index]
    look = looker(ws, case, volume, rules)

    def few(moved: Shift) -> Prepared:
        whole = look(moved)
        return replace(whole, images=whole.images[index])

    return thin, find(run, few, **told).mask


def looker(ws: Workspace, case: Case, volume: Volume, rules: Rules) -> Look:
    """A case through the network's window; the centred one, which mostly does, comes from the cache."""

    def look(moved: Shift) -> Prepared:
        if moved == CENTRED or not isinstance(rules, Preprocessing):
            return prepare(case, rules, cache=cache_dir(ws.config))
        return rules.forward(volume, moved)

    return look
