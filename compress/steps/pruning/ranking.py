"""Ranking a network's channels as the configuration asks for it, with the data that its criterion needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from compress.config import Pruning
from compress.data.dataset import SliceDataset, epoch_loader
from compress.models.build import architecture_of
from compress.models.checkpoint import Checkpoint
from compress.prune import ranking
from compress.prune.criteria import needs_gradients
from compress.prune.plan import PruningPlan
from compress.steps.pruning.compatible import with_one_width_per_stage
from compress.steps.pruning.request import seed_of
from compress.steps.workspace import Workspace
from compress.train.losses import build_loss

GRADIENT_BATCHES = 8
"""Each batch's gradients are held at once."""


def rank(ws: Workspace, source: Checkpoint, wanted: Pruning) -> PruningPlan:
    """The plan that the wanted criterion and ratios make of `source`.

    Criteria that need gradients get them from training slices without augmentation. Raises what
    `compress.prune.ranking.rank` raises.
    """
    ratios, seed = wanted.ratios, seed_of(ws, wanted)
    architecture = architecture_of(source.meta.architecture)
    with architecture.followed(source.network):
        plan = ranking.rank(
            source.network,
            torch.zeros(1, source.meta.arguments["in_channels"], *ws.rules.size),
            ratio=ratios.default,
            ratios=dict(ratios.block_ratios),
            criterion=wanted.method,
            scope=wanted.scope,
            floor=wanted.floor,
            align=ws.config.bench.provider if ratios.align == "auto" else ratios.align,
            data=_batches(ws, seed) if needs_gradients(wanted.method) else None,
            loss=build_loss(ws.config.train.parameters.loss_function),
            seed=seed,
            source=source.meta.digest,
            follow=architecture.followers(source.meta.arguments),
        )
    return with_one_width_per_stage(plan, source.meta) if wanted.keep_nnunet_compatible else plan


def _batches(ws: Workspace, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    slices = SliceDataset(ws.prepared(ws.cases_of(ws.split.train)), strength=0.0, seed=seed)
    loader = epoch_loader(slices, batch_size=ws.config.train.batch_size, epoch=1)
    for batch in islice(loader, GRADIENT_BATCHES):
        yield batch.images, batch.labels
