"""Training learns, and a run that was killed and resumed equals one that was not, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import RECIPE, network, recipe, trainer, training_data, volume

from compress.data.volume import ACDC_LABELS
from compress.errors import CheckpointError, ConfigError
from compress.models.checkpoint import Meta, save
from compress.models.unet import UNet, dense_widths
from compress.progress import Progress, Task
from compress.train.loop import Record, fit
from compress.train.losses import LOSSES, build_loss
from compress.train.recipe import Recipe
from compress.train.trainer import Trainer
from compress.train.validate import grid_dice, predict_slices


class Killed(Exception):
    """Stands for a power cut."""


def keep_records(found: list[Record]):
    return lambda _, record: found.append({k: v for k, v in record.items() if k != "seconds"})


def keep_state(path: Path, *, die_after: int):
    def callback(running: Trainer, _: Record) -> None:
        running.save(path, extra={"best": 0.25})
        if running.epoch == die_after:
            raise Killed

    return callback


def slots(running: Trainer) -> dict[str, torch.Tensor]:
    state = running.optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, each in state.items() for name, value in each.items()}


def assert_same_bits(mine: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert mine.keys() == other.keys()
    different = [name for name in mine if not torch.equal(mine[name], other[name])]
    assert not different


@pytest.mark.parametrize(
    "chosen",
    [
        RECIPE,
        recipe(bf16=True, augmentation=0.0),
        recipe(schedule="constant", augmentation=0.0),
        recipe(loss="ce", batch_size=64, augmentation=0.0),
        recipe(distill=0.5, teacher="wide", augmentation=0.0),
    ],
    ids=["fp32", "bf16", "constant rate", "one step per epoch", "distillation"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(chosen: Recipe, tmp_path: Path):
    teacher = network(4, (6, 6))
    whole, expected = trainer(chosen), []
    fit(whole, training_data(chosen, teacher=teacher), callbacks=[keep_records(expected)])

    found: list[Record] = []
    path = tmp_path / "resume.safetensors"
    with pytest.raises(Killed):
        callbacks = [keep_records(found), keep_state(path, die_after=2)]
        fit(trainer(chosen), training_data(chosen, teacher=teacher), callbacks=callbacks)
    resumed = trainer(chosen, seed=9)
    torch.manual_seed(77)
    assert resumed.restore(path) == {"best": 0.25}
    assert resumed.epoch == 2
    fit(resumed, training_data(chosen, teacher=teacher), callbacks=[keep_records(found)])

    assert found == expected
    assert [record["epoch"] for record in found] == [1, 2, 3, 4]
    assert_same_bits(resumed.network.state_dict(), whole.network.state_dict())
    assert_same_bits(slots(resumed), slots(whole))
    assert resumed.learning_rate == whole.learning_rate


def test_two_trainings_are_equal_and_the_seed_matters():
    first, second, third = (trainer(recipe(epochs=2, seed=seed)) for seed in (5, 5, 6))
    for each in (first, second, third):
        fit(each, training_data(each.recipe))
    assert_same_bits(first.network.state_dict(), second.network.state_dict())
    assert not torch.equal(first.network.head.weight, third.network.head.weight)


def test_training_learns():
    learner = trainer(recipe(epochs=25, augmentation=0.0, learning_rate=0.03))
    records: list[Record] = []
    fit(learner, training_data(learner.recipe), callbacks=[keep_records(records)])
    assert records[-1]["train_loss"] < 0.5 * records[0]["train_loss"]
    assert records[-1]["val_dice"] > 0.9
    assert records[-1]["val_dice"] == pytest.approx(sum(records[-1][f"val_dice_{s}"] for s in ACDC_LABELS) / 3)


def test_one_cycle_warms_up_and_decays():
    running = trainer(recipe(epochs=5, augmentation=0.0), features=(2,))
    rates = []
    fit(
        running,
        training_data(running.recipe),
        callbacks=[lambda t, r: rates.append((r["learning_rate"], t.learning_rate))],
    )
    starts = [start for start, _ in rates]
    assert starts[0] == pytest.approx(RECIPE.learning_rate / 25)
    assert max(starts) > 0.9 * RECIPE.learning_rate
    assert starts[1:] == sorted(starts[1:], reverse=True)
    assert rates[-1][1] < 1e-3 * RECIPE.learning_rate


def test_an_unknown_schedule_is_named():
    with pytest.raises(ConfigError, match=r"Unknown schedule 'cosine'\. Known: constant, one_cycle\."):
        trainer(recipe(schedule="cosine"))


@pytest.mark.parametrize("epochs", range(1, 9))
def test_the_shortest_runs_have_a_schedule(epochs: int):
    """torch divides by zero when the warm-up ends on step 0."""
    short = trainer(recipe(epochs=epochs, batch_size=64, augmentation=0.0), features=(2,))
    fit(short, training_data(short.recipe))
    assert short.epoch == epochs
    assert 0 < short.learning_rate <= RECIPE.learning_rate


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.02}, r"learning_rate 0\.01 then, 0\.02 now"),
        ({"epochs": 5, "loss": "ce"}, r"epochs 4 then, 5 now, loss ce_dice then, ce now"),
        ({"bf16": True}, r"bf16 False then, True now"),
    ],
)
def test_another_recipe_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    trainer().save(tmp_path / "resume.safetensors", extra={})
    with pytest.raises(CheckpointError, match=rf"another training recipe \({message}\)\. Use the configuration"):
        trainer(recipe(**change)).restore(tmp_path / "resume.safetensors")


def test_another_shape_is_refused(tmp_path: Path):
    trainer().save(tmp_path / "resume.safetensors", extra={})
    with pytest.raises(CheckpointError, match="belongs to a network of another shape"):
        trainer(features=(4, 4)).restore(tmp_path / "resume.safetensors")


def test_weights_alone_are_no_state_to_resume_from(tmp_path: Path):
    network = UNet(1, 4, dense_widths([4, 8]))
    arguments = {"in_channels": 1, "out_channels": 4, "widths": network.widths}
    save(tmp_path / "final.safetensors", network, Meta("unet", arguments, ACDC_LABELS, {}))
    with pytest.raises(CheckpointError, match="holds weights alone"):
        trainer().restore(tmp_path / "final.safetensors")
    with pytest.raises(CheckpointError, match="No checkpoint"):
        trainer().restore(tmp_path / "absent.safetensors")


def test_progress_hears_of_every_step():
    class Counting(Progress):
        def __init__(self) -> None:
            self.done, self.total, self.infos = 0, 0, []

        def task(self, name: str, total: int) -> Any:
            from contextlib import contextmanager

            counter = self

            class Counter(Task):
                def advance(self, steps: int = 1, *, info: str = "") -> None:
                    counter.done += steps
                    counter.infos.append(info)

            @contextmanager
            def context() -> Iterator[Task]:
                counter.total = total
                yield Counter()

            return context()

    progress = Counting()
    plain = recipe(augmentation=0.0)
    fit(trainer(plain), training_data(plain), progress=progress)
    assert progress.done == progress.total == 4 * 2
    assert any(info.startswith("loss ") for info in progress.infos)
    assert progress.infos[-1].startswith("epoch 4/4  Dice 0.")


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_reward_the_right_answer(name: str):
    labels = torch.from_numpy(volume(3).mask).long()
    right = 20.0 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    loss = build_loss(name)
    assert loss(right, labels) < 0.01
    assert loss(right.roll(1, dims=1), labels) > 0.9
    logits = torch.zeros_like(right, requires_grad=True)
    loss(logits, labels).backward()
    assert logits.grad.abs().sum() > 0


def test_dice_is_taken_over_the_batch():
    """A slice without a structure must not count as a miss of it."""
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    labels[0, :2], labels[0, 2:4], labels[0, 4:6] = 1, 2, 3
    logits = 20.0 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    assert build_loss("dice")(logits, labels) < 0.01


def test_unknown_losses_are_named():
    with pytest.raises(ConfigError, match=r"Unknown loss 'dice_ce'\. Known: ce, ce_dice, dice\."):
        build_loss("dice_ce")


class TestGridDice:
    class Oracle(torch.nn.Module):
        """Says of every pixel what its brightness says."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([-((x + 1.5 - label) ** 2) for label in range(4)], dim=1)

    def test_a_perfect_network_scores_one(self):
        scores = grid_dice(self.Oracle(), [volume(0), volume(1)], ACDC_LABELS, device=torch.device("cpu"), bf16=False)
        assert scores == {"mean": 1.0, "RV": 1.0, "MYO": 1.0, "LV": 1.0}

    def test_an_absent_structure_that_is_not_predicted_scores_one(self):
        scores = grid_dice(self.Oracle(), [volume(0)], {"MYO": 2, "scar": 7}, device=torch.device("cpu"), bf16=False)
        assert scores["scar"] == 1.0

    def test_batches_do_not_change_predictions(self):
        network = UNet(1, 4, dense_widths([4])).train()
        images = volume(0).images
        one, all_at_once = (predict_slices(network, images, device=torch.device("cpu"), batch_size=n) for n in (1, 99))
        assert one.shape == (3, 4, 16, 16)
        assert abs(one - all_at_once).max() < 1e-5
        assert not network.training


def test_a_diverged_training_stops_with_the_cure():
    chosen = recipe(epochs=1)
    diverging = trainer(chosen)
    with torch.no_grad():
        diverging.network.get_parameter("head.bias").fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"loss became nan in epoch 1\. Lower train\.parameters\.learning_rate"):
        fit(diverging, training_data(chosen))
