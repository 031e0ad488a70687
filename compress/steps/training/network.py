"""One trained network from its starting weights: used for dense, pruned and control networks alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from compress.config import Config
from compress.data.augment import STRENGTHS
from compress.data.dataset import SliceDataset
from compress.errors import ConfigError
from compress.files import digest_bytes, digest_json, read_json
from compress.models.checkpoint import Checkpoint, load, save, weights_digest
from compress.progress import SILENT, Progress
from compress.report.plots import training_curves
from compress.rundir import Stage, cache_dir
from compress.steps.reuse import Result, intact
from compress.steps.training.request import AS_DENSE, Effort, Policy, Recovery, Training
from compress.steps.workspace import Workspace
from compress.train.callbacks import Checkpoints, MetricsFile, build_logger, read_metrics
from compress.train.device import make_deterministic, resolve_device, use_bf16
from compress.train.distill import VIEWS, stored_answers, teacher_answers
from compress.train.loop import TrainingData, fit
from compress.train.recipe import Recipe
from compress.train.shared import lead
from compress.train.trainer import Trainer, read_state


def build_recipe(ws: Workspace, *, epochs: int, seed: int | None = None, recovery: Recovery = AS_DENSE) -> Recipe:
    """The training recipe of a configuration; retraining may change rate, schedule and loss by `recovery`."""
    config, parameters = ws.config, ws.config.train.parameters
    tuning = recovery.schedule == "finetune"
    return Recipe(
        epochs=epochs,
        batch_size=config.train.batch_size,
        learning_rate=parameters.learning_rate / 10 if tuning else parameters.learning_rate,
        weight_decay=parameters.weight_decay,
        loss=parameters.loss_function,
        schedule="constant" if tuning else parameters.schedule,
        augmentation=STRENGTHS[parameters.augmentation],
        seed=config.experiment.seed if seed is None else seed,
        bf16=use_bf16(parameters.precision, resolve_device(config.experiment.device)),
        slices_per_volume=config.train.num_slices_per_volume,
        distill=recovery.distill,
        temperature=recovery.temperature,
        teacher=recovery.teacher.meta.digest if recovery.teacher else "",
        unlabelled=recovery.unlabelled.digest if recovery.unlabelled else "",
        average=parameters.average if recovery.average is None else recovery.average,
    )


def inputs_of(ws: Workspace, start: Checkpoint, recipe: Recipe) -> dict[str, Any]:
    """Everything that decides a stage's outcome, as digests and plain values; the recipe names the teacher."""
    return {
        "recipe": recipe.to_json(),
        "start": weights_digest(start.network, start.meta),
        "data": ws.training.digest,
        "train_patients": digest_json(list(ws.split.train)),
        "preprocessing": ws.rules.to_json(),
    }


def is_current(stage: Stage, inputs: dict[str, Any]) -> bool:
    """True when the stage's end product exists and was made from exactly these inputs."""
    return stage.final.is_file() and Result(stage.record, inputs).stored() is not None


def finished_part(stage: Stage, inputs: dict[str, Any]) -> int:
    """Epochs of a finished training that lacks nothing but the last cycles of `inputs`; 0 where there is none."""
    cycles = inputs["recipe"].get("cycles", ())
    for count in range(len(cycles)):
        recipe = {key: value for key, value in inputs["recipe"].items() if key != "cycles"}
        recipe |= {"cycles": cycles[:count]} if count else {}
        if is_current(stage, {**inputs, "recipe": recipe}):
            return recipe["epochs"] + sum(cycle["epochs"] for cycle in cycles[:count])
    return 0


def effort_of(stage: Stage) -> Effort:
    """What a finished training has cost, earlier rounds included. Raises `OSError` where none has finished."""
    record = read_json(stage.record)
    return Effort(record["epochs"], record["seconds"])


def train_stage(ws: Workspace, training: Training) -> Checkpoint:
    """Train a network as it is given, write every file of the stage, and return the final checkpoint.

    Returns at once when the stage is already there from the same inputs. Raises `ConfigError` when an
    unfinished or different result is there and the policy refuses to touch it.
    """
    stage, policy, recipe = training.stage, training.policy, recipe_of(ws, training)
    inputs = inputs_of(ws, training.start, recipe)
    if not policy.force and is_current(stage, inputs):
        ws.progress.note(f"{training.title}: already done in {stage.root}; nothing to do (--restart trains again).")
        return load(stage.final)
    continued = 0 if policy.force else finished_part(stage, inputs)
    _guard(ws.progress, stage, policy, recipe, continued)
    resumed = policy.unfinished == "resume" and stage.resume.is_file()
    if not continued and (stage.record.is_file() or not resumed):
        _clear(stage)
    trainer = _train(ws, training, recipe, continued)
    trainer.network.load_state_dict(trainer.result())
    meta = replace(ws.learnt(training.start.meta), epoch=recipe.seen + trainer.epoch)
    saved = save(stage.final, trainer.network, meta)
    records = read_metrics(stage.metrics)
    seconds = training.spent.seconds + sum(r.get("seconds", 0.0) for r in records)
    training_curves(stage.curves, records, phantom=ws.training.phantom)
    effort = {"epochs": training.spent.epochs + recipe.seen + recipe.total, "seconds": seconds}
    Result(stage.record, inputs).store({"digest": saved.digest, **effort})
    stage.resume.unlink(missing_ok=True)
    return load(stage.final)


def recipe_of(ws: Workspace, training: Training) -> Recipe:
    """The recipe of one training."""
    recipe = build_recipe(ws, epochs=training.epochs, seed=training.seed, recovery=training.recovery)
    return replace(recipe, cycles=training.cycles, seen=training.seen)


def check_training(ws: Workspace, training: Training) -> None:
    """Raise what `train_stage` would refuse with, before anybody has written a file."""
    stage, policy, recipe = training.stage, training.policy, recipe_of(ws, training)
    inputs = inputs_of(ws, training.start, recipe)
    if policy.force or is_current(stage, inputs):
        return
    continued = finished_part(stage, inputs)
    _guard(SILENT, stage, policy, recipe, continued)
    if policy.unfinished == "resume" and stage.resume.is_file() and (continued or not stage.record.is_file()):
        _, document = read_state(stage.resume, recipe)
        _same_start(stage, document["extra"]["start"], weights_digest(training.start.network, training.start.meta))


def _train(ws: Workspace, training: Training, recipe: Recipe, continued: int) -> Trainer:
    config, parameters = ws.config, ws.config.train.parameters
    stage, title = training.stage, training.title
    network, meta = training.start.network, training.start.meta
    device = resolve_device(config.experiment.device)
    if config.experiment.deterministic:
        make_deterministic(device)
    ws.progress.note(f"{title}: device {device}, {'bfloat16' if recipe.bf16 else 'float32'}, {recipe.total} epochs.")
    data = _data(ws, recipe, training.recovery)
    start = weights_digest(network, meta)
    trainer = Trainer(network, recipe, steps_per_epoch=data.steps_per_epoch(recipe.batch_size), device=device)
    keeper = Checkpoints(
        stage,
        replace(meta, parent=start),
        save_interval=parameters.save_interval,
        early_epoch=parameters.rewind_epoch,
    )
    if stage.resume.is_file():
        extra = trainer.restore(stage.resume)
        _same_start(stage, extra["start"], start)
        keeper.best = extra["best"]
        within = f" and {trainer.begun.steps} steps" if trainer.begun.steps else ""
        ws.progress.note(f"{title}: resuming after epoch {trainer.epoch}{within}.")
    elif continued:
        trainer.network.load_state_dict(load(stage.final).network.state_dict())
        trainer.begin_at(continued)
        keeper.best = max(record["val_dice"] for record in read_metrics(stage.metrics))
        ws.progress.note(f"{title}: going on after epoch {continued}.")
    else:
        save(stage.initial, trainer.network, replace(meta, stage="initial"))
    callbacks = [MetricsFile(stage.metrics, from_epoch=trainer.epoch), *_loggers(config, stage), keeper]
    lead(trainer, data, workers=parameters.workers)
    fit(
        trainer,
        data,
        callbacks=callbacks,
        workers=parameters.workers,
        name=title,
        progress=ws.progress,
        on_stop=keeper.pause,
    )
    return trainer


def _data(ws: Workspace, recipe: Recipe, recovery: Recovery) -> TrainingData:
    train, val = ws.cases_of(ws.split.train), ws.cases_of(ws.split.val)
    slices = SliceDataset(
        ws.prepared(train), strength=recipe.augmentation, seed=recipe.seed, per_volume=recipe.slices_per_volume
    )
    if recipe.distill and recovery.teacher is not None:
        slices.answers = _answers(ws, recipe, recovery.teacher, slices.images)
        if recovery.unlabelled is not None:
            images = recovery.unlabelled.images(ws.progress)
            slices.add_unlabelled(images, _answers(ws, recipe, recovery.teacher, images))
    return TrainingData(slices, ws.prepared(val), ws.labels)


def _answers(ws: Workspace, recipe: Recipe, teacher: Checkpoint, images: np.ndarray) -> np.ndarray:
    """The teacher's answers to every training slice, asked once for all students."""
    key = digest_json([teacher.meta.digest, digest_bytes(images.data), recipe.temperature, VIEWS, recipe.bf16])
    device = resolve_device(ws.config.experiment.device)

    def ask() -> np.ndarray:
        return teacher_answers(
            teacher.network,
            images,
            temperature=recipe.temperature,
            device=device,
            bf16=recipe.bf16,
            progress=ws.progress,
        )

    return stored_answers(cache_dir(ws.config) / f"answers-{key[:24]}.npy", ask)


def _loggers(config: Config, stage: Stage) -> list[Any]:
    title = f"{config.experiment.experiment_name}-{stage.root.name}"
    asked = config.train.parameters.loggers
    return [build_logger(k, folder=stage.tensorboard, name=title, config=config.without_paths()) for k in asked]


def _guard(progress: Progress, stage: Stage, policy: Policy, recipe: Recipe, continued: int) -> None:
    if not continued and intact(lambda: read_json(stage.record)["inputs"]) is not None:
        if policy.finished == "refuse":
            raise ConfigError(
                f"{stage.root} holds a network trained with other settings or data.",
                cure="Choose another experiment.experiment_name (or --name), or --restart to replace it.",
            )
        progress.warn(f"{stage.root} held a network made with other settings; it is replaced.")
    elif stage.resume.is_file() and policy.unfinished == "refuse":
        raise ConfigError(
            f"{stage.root} holds an unfinished run ({len(read_metrics(stage.metrics))} of {recipe.total} epochs).",
            cure="Continue it with --resume, or start over with --restart.",
        )


def _same_start(stage: Stage, stored: str, now: str) -> None:
    if stored != now:
        raise ConfigError(
            f"{stage.root} holds an unfinished run that began from other weights.", cure="Start over with --restart."
        )


def _clear(stage: Stage) -> None:
    """Remove what would be mistaken for results of the run that begins."""
    for path in (stage.resume, stage.final, stage.record, stage.metrics, stage.curves, stage.best, stage.early):
        path.unlink(missing_ok=True)
    for path in stage.epochs():
        path.unlink()
