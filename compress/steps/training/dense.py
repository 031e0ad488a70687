"""Train the dense network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from compress.config import Cycle as AddedCycle
from compress.errors import ConfigError
from compress.evaluate.summary import EvaluationReport
from compress.models.checkpoint import Checkpoint, Meta, load, read_meta
from compress.models.folds import first_fold, mean_of_folds
from compress.models.unet import UNet, dense_widths, initialise
from compress.steps.scoring.checkpoint import evaluate_checkpoint
from compress.steps.training.network import check_training, train_stage
from compress.steps.training.request import Policy, Training
from compress.steps.workspace import Workspace
from compress.train.recipe import Cycle

MOST_WEIGHTS = 2**28
"""Of a network that a configuration asks for, 1 GiB: the largest in use has 44 million."""
HEAD = "head."
"""The parameters whose number is that of the labels."""


def train_dense(ws: Workspace, *, policy: Policy, extend: AddedCycle | None = None) -> EvaluationReport:
    """Train the network that `train.model` describes, and score it on the validation patients.

    `extend` trains a finished run on by one cycle. Cycles that a run was given before are kept, until it is begun
    anew. Raises `ConfigError` for a `train.start` that does not fit and for a run that has not finished and cannot be
    extended, and what `train_stage` raises.
    """
    if ws.brought is not None:
        raise ConfigError(
            f"{ws.run.baseline.root} holds a network that was imported.",
            cure="Choose another experiment.experiment_name to train one from scratch.",
        )
    known = ws.config.train.cycles if policy.force else ws.cycles
    ws = _with_cycles(ws, [*known, *([extend] if extend else [])])
    if extend and (ws.run.baseline.resume.is_file() or not ws.run.baseline.final.is_file()):
        raise ConfigError(
            f"{ws.run.baseline.root} holds no finished training to extend.",
            cure="Finish it with `cardiocompress train --resume` first; extend then.",
        )
    start, seen = _start(ws)
    ws.check_data()
    wanted, rate = ws.config.train, ws.config.train.parameters.learning_rate
    cycles = tuple(Cycle(cycle.epochs, cycle.learning_rate or rate) for cycle in wanted.cycles)
    epochs = wanted.parameters.num_epochs
    training = Training(ws.run.baseline, start, epochs, "Training dense", policy, cycles=cycles, seen=seen)
    check_training(ws, training)  # before anything is written
    if policy.force:
        ws.forget_cycles()
    ws.describe()
    return evaluate_checkpoint(ws, train_stage(ws, training), ws.run.baseline.evaluation, name="dense")


def _with_cycles(ws: Workspace, cycles: list[AddedCycle]) -> Workspace:
    train = ws.config.train.model_copy(update={"cycles": cycles})
    return replace(ws, config=ws.config.model_copy(update={"train": train}))


def _start(ws: Workspace) -> tuple[Checkpoint, int]:
    """What training begins from, and for how many epochs it has been trained."""
    wanted, widths = ws.config.train.start, dense_widths(ws.config.train.model.features)
    network, meta = new_network(ws, widths, seed=ws.config.experiment.seed)
    if wanted.checkpoint is None:
        return Checkpoint(network, meta), 0
    source = load(Path(wanted.checkpoint))
    _refuse_other_widths(Path(wanted.checkpoint), source.meta, widths)
    weights = source.network.state_dict()
    if source.meta.labels != meta.labels:  # the trunk serves any labels, the head only its own
        ws.progress.note(f"{wanted.checkpoint} segments {', '.join(source.meta.labels)}: its head is made anew.")
        weights = {name: value for name, value in weights.items() if not name.startswith(HEAD)}
    network.load_state_dict(weights, strict=False)
    seen = source.meta.epoch if wanted.epochs is None else wanted.epochs
    return Checkpoint(network, replace(meta, parent=source.meta.digest)), seen


def new_network(ws: Workspace, widths: dict[str, list[int]], *, seed: int) -> tuple[UNet, Meta]:
    """A freshly initialised network of these widths and its description.

    Raises `ConfigError` when `train.model` asks for other channels than the data has, and for too many weights.
    """
    model, classes = ws.config.train.model, len(ws.labels) + 1
    if model.out_channels not in (None, classes):
        raise ConfigError(
            f"train.model.out_channels is {model.out_channels}; background and {', '.join(ws.labels)} are {classes}.",
            cure="Set it to null, or data.structures to what is to be learnt.",
        )
    if model.in_channels not in (None, ws.channels):
        raise ConfigError(
            f"train.model.in_channels is {model.in_channels}; an image of the data has {ws.channels} channel(s).",
            cure="Set it to null.",
        )
    arguments = {"in_channels": ws.channels, "out_channels": classes, "widths": widths}
    with torch.device("meta"):
        count = sum(weights.numel() for weights in UNet(**arguments).parameters())
    if count > MOST_WEIGHTS:
        raise ConfigError(
            f"train.model.features {model.features} make a network of {count} weights; {MOST_WEIGHTS} at most.",
            cure="Take fewer channels.",
        )
    network = UNet(**arguments)
    initialise(network, seed=seed)
    meta = Meta(
        architecture="unet",
        arguments=arguments,
        labels=ws.labels,
        preprocessing=ws.rules.to_json(),
        stage="dense",
        phantom=ws.training.phantom,
        data_digest=ws.training.digest,
    )
    return network, meta


def dense_checkpoint(ws: Workspace) -> Checkpoint:
    """The trained dense network, of several folds the first: what pruning begins with.

    Raises `CheckpointError` when `train` has not finished yet.
    """
    return first_fold(load(ws.run.baseline.final))


def teacher_checkpoint(ws: Workspace) -> Checkpoint:
    """The dense network, of several folds the mean of all: what a pruned one learns from."""
    return mean_of_folds(load(ws.run.baseline.final))


def check_shape(ws: Workspace) -> None:
    """Raise `ConfigError` when the configuration's features are not the trained network's."""
    if ws.brought is not None:  # its shape is its own, not the configuration's
        return
    final = ws.run.baseline.final
    _refuse_other_widths(final, read_meta(final), dense_widths(ws.config.train.model.features))


def _refuse_other_widths(path: Path, meta: Meta, wanted: dict[str, list[int]]) -> None:
    stored = meta.arguments["widths"]
    if stored != wanted:
        features, found = ([w[1] for b, w in each.items() if b.startswith("encoders")] for each in (wanted, stored))
        raise ConfigError(
            f"train.model.features is {features}, but {path} has encoder widths {found}.",
            cure="Set the features that it was trained with, or another experiment_name.",
        )
