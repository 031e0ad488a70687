"""Several folds in one checkpoint: the first alone, or the mean of all as one network."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from compress.models.checkpoint import Checkpoint
from compress.models.nnunet import Folds


class Mean(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, members: nn.ModuleList) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


def first_fold(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint of the first fold; the checkpoint itself where there is only one."""
    if not isinstance(checkpoint.network, Folds):
        return checkpoint
    meta = checkpoint.meta
    arguments = {key: value for key, value in meta.arguments.items() if key != "folds"}
    extra = {
        k: {**v, "folds": v["folds"][:1]} if isinstance(v, dict) and "folds" in v else v for k, v in meta.extra.items()
    }
    alone = replace(meta, arguments=arguments, preprocessing={**meta.preprocessing, "folds": 1}, extra=extra)
    return Checkpoint(checkpoint.network.members[0], alone)


def mean_of_folds(checkpoint: Checkpoint) -> Checkpoint:
    """The same description with a network that gives the mean of all folds."""
    if not isinstance(checkpoint.network, Folds):
        return checkpoint
    return Checkpoint(Mean(checkpoint.network.members).eval(), checkpoint.meta)
