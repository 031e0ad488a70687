"""What happens after an epoch: checkpoints, the metrics file, external loggers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress.errors import EnvironmentFault
from compress.extras import extra_of, install_command
from compress.files import parse_json, write_text
from compress.models.checkpoint import Meta, save
from compress.outside import MAX_DOCUMENT, is_there, read_bytes
from compress.registry import pick
from compress.train.loop import Callback, Record
from compress.train.trainer import Trainer


class Checkpoints:
    """Early, periodic and best weights, then the state to resume from.

    The resume file comes last: a run killed between two files repeats the epoch and rewrites both.
    """

    def __init__(self, stage: Any, meta: Meta, *, save_interval: int, early_epoch: int) -> None:
        self.stage, self.meta = stage, meta
        self.save_interval, self.early_epoch = save_interval, early_epoch
        self.best = -1.0

    def __call__(self, trainer: Trainer, record: Record) -> None:
        meta = replace(self.meta, epoch=trainer.recipe.seen + trainer.epoch)
        with trainer.averaged() as network:
            if trainer.epoch == self.early_epoch:
                save(self.stage.early, network, replace(meta, stage="early"))
            if trainer.epoch % self.save_interval == 0:
                save(self.stage.epoch(trainer.epoch), network, meta)
            if record["val_dice"] > self.best:
                self.best = record["val_dice"]
                save(self.stage.best, network, meta)
        self.pause(trainer)

    def pause(self, trainer: Trainer) -> None:
        """Write the state to resume from, within an epoch too."""
        trainer.save(self.stage.resume, extra={"best": self.best, "start": self.meta.parent})


class MetricsFile:
    """One JSON line per epoch; lines beyond the epoch that a run resumes from are dropped."""

    def __init__(self, path: Path, *, from_epoch: int) -> None:
        self.path = path
        self.records = [r for r in read_metrics(path) if r["epoch"] <= from_epoch]

    def __call__(self, trainer: Trainer, record: Record) -> None:
        self.records.append(record)
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in self.records))


def read_metrics(path: Path) -> list[Record]:
    """The records of a metrics file that can be read; empty when there is none."""
    if not is_there(path):
        return []
    lines = read_bytes(path, most=MAX_DOCUMENT).decode("utf-8", "replace").splitlines()
    return [record for line in lines if (record := _record(line))]


def _record(line: str) -> Record | None:
    try:
        found = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "epoch" in found else None


def _numbers(record: Record) -> dict[str, float]:
    return {k: v for k, v in record.items() if k != "epoch"}


def _tensorboard(folder: Path, name: str, config: dict[str, Any]) -> Callback:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise _missing("tensorboard") from None
    writer = SummaryWriter(str(folder))

    def log(trainer: Trainer, record: Record) -> None:
        for key, value in _numbers(record).items():
            writer.add_scalar(f"{name}/{key}", value, trainer.epoch)
        writer.flush()

    return log


def _wandb(folder: Path, name: str, config: dict[str, Any]) -> Callback:
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("wandb") from None
    run = wandb.init(project="cardiocompress", name=name, config=config, dir=str(folder), resume="allow")

    def log(trainer: Trainer, record: Record) -> None:
        run.log(_numbers(record), step=trainer.epoch)
        if trainer.epoch == trainer.recipe.total:
            run.finish()

    return log


def _missing(package: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"train.parameters.loggers asks for {package}, which is not installed.",
        cure=f"Try: {install_command(extra_of(package))}; or take it out of the list.",
    )


LOGGERS: dict[str, Callable[[Path, str, dict[str, Any]], Callback]] = {"tensorboard": _tensorboard, "wandb": _wandb}


def build_logger(kind: str, *, folder: Path, name: str, config: dict[str, Any]) -> Callback:
    """A callback that sends each epoch's numbers to an external logger."""
    return pick("logger", LOGGERS, kind)(folder, name, config)
