"""How process 0 takes the others into a training, and what they do."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.data.dataset import SliceDataset
from compress.errors import ConfigError
from compress.train.group import Group, current, hear, hear_array, tell, tell_array
from compress.train.loop import TrainingData, fit
from compress.train.recipe import Recipe
from compress.train.trainer import Trainer


@dataclass(frozen=True)
class _Order:
    """A training as it stands, without its arrays."""

    network: nn.Module
    recipe: Recipe
    steps_per_epoch: int
    device: str
    state: tuple[dict[str, torch.Tensor], dict[str, Any]]
    data: TrainingData
    answered: bool
    workers: int


def lead(trainer: Trainer, data: TrainingData, *, workers: int) -> None:
    """Take all processes of the group into a training that `fit` is about to run; nothing where there is one.

    Raises `ConfigError` when a process would get no slice.
    """
    group = current()
    if group.size == 1:
        return
    batch = min(trainer.recipe.batch_size, len(data.train))
    if batch < group.size:
        raise ConfigError(
            f"A batch of {batch} slices cannot be shared by {group.size} processes.",
            cure="Raise train.batch_size, which is that of all together, or start fewer processes.",
        )
    slices = data.train
    empty = slices.without_slices()
    order = _Order(
        network=deepcopy(trainer.network).cpu(),
        recipe=trainer.recipe,
        steps_per_epoch=trainer.steps_per_epoch,
        device=trainer.device.type,
        state=trainer.snapshot(extra={}),
        data=TrainingData(empty, data.val, data.labels),
        answered=slices.answers is not None,
        workers=workers,
    )
    tell(order)
    for array in (slices.images, slices.masks, *([] if slices.answers is None else [slices.answers])):
        tell_array(array)
    trainer.share(group)


def serve() -> None:
    """Do this process's share of every training that process 0 leads, until it says that there is none."""
    group = current()
    while (order := hear()) is not None:
        slices: SliceDataset = order.data.train
        slices.images, slices.masks = hear_array(), hear_array()
        if order.answered:
            slices.answers = hear_array()
        fit(_trainer(order, group), order.data, workers=order.workers, on_stop=_leave)


def dismiss() -> None:
    """Say to the others that there is nothing left to train."""
    if current().size > 1:
        tell(None)


def _leave(_: Trainer) -> None:
    """Process 0 has been stopped, or this one, or another: the state is in process 0's hands."""
    raise KeyboardInterrupt


def _trainer(order: _Order, group: Group) -> Trainer:
    device = torch.device(order.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    trainer = Trainer(order.network, order.recipe, steps_per_epoch=order.steps_per_epoch, device=device)
    trainer.adopt(*order.state)
    trainer.share(group)
    return trainer
