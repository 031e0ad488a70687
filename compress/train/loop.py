"""The training loop: epochs, validation, and whoever wants to hear of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from compress.data.dataset import SliceDataset, epoch_loader
from compress.data.preprocess import Prepared
from compress.errors import ConfigError, EnvironmentFault
from compress.progress import SILENT, Progress, Task
from compress.stopping import Held, held
from compress.train.group import Group
from compress.train.trainer import Trainer
from compress.train.validate import mean_dice, volume_dice

Record = dict[str, Any]
"""One epoch: epoch, train_loss, val_dice, val_dice_<structure>, learning_rate, seconds."""
T = TypeVar("T")
Callback = Callable[[Trainer, Record], None]


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is watched on."""

    train: SliceDataset
    val: Sequence[Prepared]
    labels: Mapping[str, int]

    def steps_per_epoch(self, batch_size: int) -> int:
        """Full batches in one pass."""
        return max(1, len(self.train) // batch_size)


def fit(
    trainer: Trainer,
    data: TrainingData,
    *,
    callbacks: Sequence[Callback] = (),
    workers: int = 0,
    name: str = "Training",
    progress: Progress = SILENT,
    on_stop: Callable[[Trainer], None] = lambda trainer: None,
) -> None:
    """Train from `trainer.epoch` to the recipe's last epoch; every callback hears of every epoch.

    Ctrl-C and SIGTERM take effect between two steps, when `on_stop` has had its turn, and never while the callbacks
    run. Raises `ConfigError` when the loss is no longer a finite number.
    """
    recipe = trainer.recipe
    steps = data.steps_per_epoch(recipe.batch_size)
    with progress.task(name, recipe.total * steps) as task:
        task.advance(trainer.epoch * steps + trainer.begun.steps)
        while trainer.epoch < recipe.total:
            with held() as stop, _together(trainer.group):
                try:
                    record = _epoch(trainer, data, workers, task, stop)
                except _Paused:
                    on_stop(trainer)
                    continue
                for callback in callbacks:
                    callback(trainer, record)
            task.advance(0, info=f"epoch {trainer.epoch}/{recipe.total}  Dice {record['val_dice']:.4f}")


def _epoch(trainer: Trainer, data: TrainingData, workers: int, task: Task, stop: Held) -> Record:
    began = time.perf_counter()
    recipe, before = trainer.recipe, trainer.begun.seconds
    number, done = recipe.seen + trainer.epoch + 1, trainer.begun.steps
    loader = epoch_loader(
        data.train,
        batch_size=recipe.batch_size,
        epoch=number,
        workers=workers,
        done=done,
        share=trainer.group.share,
    )
    try:
        loss = trainer.run_epoch(_until_stopped(loader, stop, trainer.group), task)
        if not math.isfinite(loss):
            raise ConfigError(
                f"The training loss became {loss} in epoch {trainer.epoch + 1}.",
                cure="Lower train.parameters.learning_rate, or use train.parameters.precision=fp32.",
            )
        with trainer.averaged() as network:
            dice = _validate(trainer, network, data, stop)
    finally:
        trainer.begun.seconds = before + time.perf_counter() - began
    rate, seconds = trainer.begun.rate, trainer.begun.seconds
    trainer.end_epoch()
    return {
        "epoch": trainer.epoch,
        "train_loss": loss,
        "val_dice": dice["mean"],
        **{f"val_dice_{name}": value for name, value in dice.items() if name != "mean"},
        "learning_rate": rate,
        "seconds": seconds,
    }


class _Paused(Exception):
    """A signal asked to stop; the trainer's state can be saved as it is."""


def _until_stopped(work: Iterable[T], stop: Held, group: Group) -> Iterator[T]:
    """All processes stop at the same step: one that went on alone would wait for the others."""
    for each in work:
        if group.any(stop.caught is not None):
            raise _Paused
        yield each


def _validate(trainer: Trainer, network: nn.Module, data: TrainingData, stop: Held) -> dict[str, float]:
    """Each process takes its part of the volumes, all get the means; as many turns for each, so that all can stop."""
    group = trainer.group
    mine, rows = list(group.share(data.val)), []
    for turn in _until_stopped(range(-(-len(data.val) // group.size)), stop, group):
        now = mine[turn : turn + 1]
        rows += volume_dice(network, now, data.labels, device=trainer.device, bf16=trainer.recipe.bf16)
    return mean_dice(group.join(rows), data.labels)


@contextmanager
def _together(group: Group) -> Iterator[None]:
    """What a group says when one of its processes is gone."""
    try:
        yield
    except RuntimeError as fault:
        if group.size == 1:
            raise
        raise EnvironmentFault(
            f"A process of this training was lost: {' '.join(str(fault).split())[:200]}",
            cure="Go on with --resume; the number of processes may be another.",
        ) from fault
