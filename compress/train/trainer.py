"""One training run's moving state: network, optimiser, schedule; and how it is saved and restored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from compress.data.dataset import UNLABELLED, Batch
from compress.errors import CheckpointError, ConfigError
from compress.models.checkpoint import load_tensors, save_tensors
from compress.progress import Task
from compress.registry import pick
from compress.train.average import Average
from compress.train.distill import soft_loss
from compress.train.group import ALONE, Group
from compress.train.losses import build_loss
from compress.train.recipe import Cycle, Recipe


@dataclass
class Begun:
    """How far an epoch is that has begun."""

    steps: int = 0
    loss: float = 0.0
    """Sum over the steps; a float32 number, as it is added up on the device."""
    rate: float = 0.0
    """The learning rate of its first step."""
    seconds: float = 0.0
    """Of what went before the last interruption."""


class Trainer:
    """Runs epochs. Two trainers with equal state and data produce equal weights."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        steps_per_epoch: int,
        device: torch.device,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.steps_per_epoch = steps_per_epoch
        self.network = network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore
        self.loss = build_loss(recipe.loss)
        self.group, self.parallel = ALONE, self.network
        self.begin_at(0)

    def share(self, group: Group) -> None:
        """Train with the other processes of a group, each of which has a trainer in the same state."""
        self.group, self.parallel = group, group.parallel(self.network, self.device)

    def begin_at(self, epoch: int) -> None:
        """Stand after `epoch` done epochs, with a new optimiser for the cycle that comes."""
        self.epoch = epoch
        self.begun = Begun()
        cycle = self.recipe.cycle_at(epoch)[0]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=cycle.learning_rate, weight_decay=self.recipe.weight_decay
        )
        self.scheduler = build_schedule(self.recipe.schedule, self.optimizer, cycle, self.steps_per_epoch)
        self.average = Average(self.network, self.recipe.average) if self.recipe.average else None

    def run_epoch(self, loader: Iterable[Batch], task: Task) -> float:
        """Train on the batches that an epoch still lacks; the mean loss of the whole epoch. `end_epoch` closes it."""
        self.network.train()
        begun = self.begun
        if not begun.steps:
            begun.rate = self.learning_rate
        total = torch.tensor(begun.loss)
        for batch in loader:
            loss = self._step(batch)
            total += loss
            begun.steps, begun.loss = begun.steps + 1, float(total)
            task.advance(info=f"loss {loss:.3f}")
        return begun.loss / begun.steps

    def end_epoch(self) -> None:
        """Count the epoch as done; where a cycle of the schedule ends, begin the next one."""
        self.epoch, self.begun = self.epoch + 1, Begun()
        if self.recipe.cycle_at(self.epoch)[1] == self.epoch < self.recipe.total:
            self.network.load_state_dict(self.result())  # what a training that ended here would have left
            self.begin_at(self.epoch)

    def _step(self, batch: Batch) -> torch.Tensor:
        images = batch.images.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            logits = self.parallel(images)
        loss = self._loss(*self._whole(logits.float(), batch))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.add(self.network)
        return loss.detach().cpu()

    def _whole(self, logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, Batch]:
        """Those of all processes: a Dice is one of the whole batch."""
        if self.group.size == 1:
            return logits, batch
        count = self.group.total(len(logits))
        labels = self.group.whole(batch.labels.to(self.device), count)
        answers = None if batch.answers is None else self.group.whole(batch.answers.to(self.device), count)
        return self.group.whole(logits, count), Batch(batch.images, labels, answers)

    def _loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        labels, share = batch.labels.to(self.device), self.recipe.distill
        if not share:
            return self.loss(logits, labels)
        if batch.answers is None:
            raise ConfigError(
                f"The recipe takes {share:g} of its loss from a teacher, but none has answered.",
                cure="Give the dataset the dense network's answers, or set pruning.distill to 0.",
            )
        soft = soft_loss(logits, batch.answers.to(self.device), temperature=self.recipe.temperature)
        known = labels[:, 0, 0] != UNLABELLED
        if not known.all():
            logits, labels = logits[known], labels[known]
        return (1 - share) * self.loss(logits, labels) + share * soft if len(labels) else share * soft

    def result(self) -> dict[str, torch.Tensor]:
        """The state of the network that training would leave if it ended here."""
        state = self.network.state_dict()
        return state if self.average is None else {**state, **self.average.values}

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network with the weights of `result` inside; afterwards it has its own again."""
        if self.average is None:
            yield self.network
            return
        own = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.result())
        try:
            yield self.network
        finally:
            self.network.load_state_dict(own)

    @property
    def learning_rate(self) -> float:
        """The rate that the next step will use."""
        return float(self.optimizer.param_groups[0]["lr"])

    def save(self, path: Path, *, extra: dict[str, Any]) -> None:
        """Write everything that `restore` needs to go on bit for bit."""
        save_tensors(path, *self.snapshot(extra=extra))

    def snapshot(self, *, extra: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The whole state, as tensors and plain values; `adopt` takes it over."""
        tensors = {f"network.{k}": v.detach().cpu() for k, v in self.network.state_dict().items()}
        state = self.optimizer.state_dict()
        for index, slots in state["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value.detach().cpu() for slot, value in slots.items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v.detach().cpu() for k, v in self.average.values.items()}
        document = {
            "epoch": self.epoch,
            "recipe": self.recipe.to_json(),
            "groups": state["param_groups"],
            "schedule": _schedule_state(self.scheduler),
            "steps": self.average.steps if self.average else 0,
            "begun": asdict(self.begun),
            "extra": extra,
        }
        return tensors, document

    def restore(self, path: Path) -> dict[str, Any]:
        """Go on from `save`; returns its `extra`. Raises `CheckpointError` as `read_state` does."""
        tensors, document = read_state(path, self.recipe)
        try:
            self.adopt(tensors, document)
        except RuntimeError as fault:
            raise CheckpointError(f"{path} belongs to a network of another shape.") from fault
        return document["extra"]

    def adopt(self, tensors: dict[str, torch.Tensor], document: dict[str, Any]) -> None:
        """Stand where another trainer stood."""
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        self.begin_at(int(document["epoch"]))
        self.begun = Begun(**document.get("begun", {}))
        self.optimizer.load_state_dict({"state": _slots(tensors), "param_groups": document["groups"]})
        self.scheduler.load_state_dict(document["schedule"])
        if self.average is not None:
            self.average.restore({k[8:]: v for k, v in tensors.items() if k.startswith("average.")}, document["steps"])


def read_state(path: Path, recipe: Recipe) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `Trainer.save` has written, as `Trainer.snapshot` returns it.

    Raises `CheckpointError` for a file that holds less, and when the recipe was another one.
    """
    tensors, document = load_tensors(path)
    if "recipe" not in document:
        raise CheckpointError(f"{path} holds weights alone; resuming needs the optimiser and schedule as well.")
    if document["recipe"] != recipe.to_json():
        raise CheckpointError(
            f"{path} was written by another training recipe ({_difference(document['recipe'], recipe)}).",
            cure="Use the configuration that it was started with, or train without --resume.",
        )
    return tensors, document


def _one_cycle(optimizer: torch.optim.Optimizer, cycle: Cycle, steps_per_epoch: int) -> LRScheduler:
    """Smith 2018 (arXiv:1708.07120): linear-cosine warm-up over the first 20%, then down to almost nothing."""
    steps = cycle.epochs * steps_per_epoch
    # At total_steps 5 the warm-up ends on step 0, and torch divides by its length.
    return OneCycleLR(optimizer, max_lr=cycle.learning_rate, total_steps=max(steps + 1, 6), pct_start=0.2)


def _constant(optimizer: torch.optim.Optimizer, cycle: Cycle, steps_per_epoch: int) -> LRScheduler:
    return LambdaLR(optimizer, _one)


def _one(_: int) -> float:
    return 1.0


RATES: dict[str, Callable[[torch.optim.Optimizer, Cycle, int], LRScheduler]] = {
    "one_cycle": _one_cycle,
    "constant": _constant,
}


def build_schedule(name: str, optimizer: torch.optim.Optimizer, cycle: Cycle, steps_per_epoch: int) -> LRScheduler:
    """One learning rate per step of a cycle; `ConfigError` when the schedule is unknown."""
    return pick("schedule", RATES, name)(optimizer, cycle, steps_per_epoch)


def _schedule_state(scheduler: LRScheduler) -> dict[str, Any]:
    """The schedule's counters; what JSON cannot hold is rebuilt by the constructor."""
    return {k: v for k, v in scheduler.state_dict().items() if _is_json(v)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _slots(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".")
            state.setdefault(int(index), {})[slot] = tensor
    return state


def _difference(stored: dict[str, Any], recipe: Recipe) -> str:
    now = recipe.to_json()
    keys = [*now, *(key for key in stored if key not in now)]
    return ", ".join(f"{k} {stored.get(k)} then, {now.get(k)} now" for k in keys if stored.get(k) != now.get(k))
