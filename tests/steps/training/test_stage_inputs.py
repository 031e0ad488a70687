"""What decides a trained network: schedules, teachers, and records that were written before they existed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from compress.config import Schedule
from compress.config.read import from_document
from compress.models.checkpoint import Checkpoint, Meta, weights_digest
from compress.models.unet import UNet, dense_widths, initialise
from compress.rundir import Stage
from compress.steps.training.network import build_recipe, inputs_of, is_current
from compress.steps.training.request import Recovery

OVERRIDES = ("experiment.device=cpu", "train.parameters.precision=fp32", "train.parameters.learning_rate=0.002")
ARGUMENTS = {"in_channels": 1, "out_channels": 4, "widths": dense_widths([2])}


def workspace(*more: str) -> Any:
    return SimpleNamespace(
        config=from_document({}, [*OVERRIDES, *more]),
        training=SimpleNamespace(digest="data"),
        split=SimpleNamespace(train=("patient001",)),
        rules=SimpleNamespace(to_json=lambda: {"size": [16, 16]}),
    )


def checkpoint(seed: int) -> Checkpoint:
    network = UNet(**ARGUMENTS)
    initialise(network, seed=seed)
    meta = Meta("unet", ARGUMENTS, {}, {}, digest=f"digest-{seed}")
    return Checkpoint(network, meta)


@pytest.mark.parametrize(
    ("schedule", "configured", "rate", "shape"),
    [
        ("lr-rewind", "one_cycle", 0.002, "one_cycle"),
        ("lr-rewind", "constant", 0.002, "constant"),
        ("finetune", "one_cycle", 0.0002, "constant"),
    ],
)
def test_schedules_of_retraining(schedule: Schedule, configured: str, rate: float, shape: str):
    ws = workspace(f"train.parameters.schedule={configured}")
    recipe = build_recipe(ws, epochs=3, recovery=Recovery(schedule))
    assert (recipe.learning_rate, recipe.schedule, recipe.epochs) == (pytest.approx(rate), shape, 3)


def test_rewinding_the_schedule_is_the_dense_recipe():
    ws = workspace()
    assert build_recipe(ws, epochs=30, recovery=Recovery()) == build_recipe(ws, epochs=30)


def test_inputs_without_a_teacher_are_as_they_always_were():
    start = checkpoint(0)
    found = inputs_of(workspace(), start, build_recipe(workspace(), epochs=2))
    assert set(found) == {"recipe", "start", "data", "train_patients", "preprocessing"}
    assert set(found["recipe"]) == {
        *("epochs", "batch_size", "learning_rate", "weight_decay", "loss", "schedule"),
        *("augmentation", "seed", "bf16", "slices_per_volume"),
    }
    assert found["start"] == weights_digest(start.network, start.meta)


def test_another_teacher_share_or_temperature_is_noticed(tmp_path):
    from compress.files import write_json
    from compress.models.checkpoint import save

    ws, start, stage = workspace(), checkpoint(0), Stage(tmp_path, "final.safetensors")

    def inputs(recovery: Recovery) -> dict[str, Any]:
        return inputs_of(ws, start, build_recipe(ws, epochs=2, recovery=recovery))

    taught = Recovery(distill=0.5, teacher=checkpoint(1))
    save(stage.final, start.network, start.meta)
    write_json(stage.record, {"inputs": inputs(taught)})
    assert is_current(stage, inputs(Recovery(distill=0.5, teacher=checkpoint(1))))
    others = (
        Recovery(distill=0.5, teacher=checkpoint(2)),
        Recovery(distill=0.25, teacher=checkpoint(1)),
        Recovery(distill=0.5, temperature=4.0, teacher=checkpoint(1)),
        Recovery("finetune", distill=0.5, teacher=checkpoint(1)),
        Recovery(),
    )
    assert not any(is_current(stage, inputs(other)) for other in others)
