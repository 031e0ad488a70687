"""Distillation: its loss, its frozen teacher, and that leaving it off changes no bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from training_kit import RECIPE, network, recipe, trainer, training_data

from compress.data.dataset import Batch, epoch_loader
from compress.errors import CheckpointError, ConfigError
from compress.models.unet import UNet
from compress.progress import Task
from compress.train.distill import frozen_copy, soft_loss
from compress.train.loop import fit
from compress.train.losses import build_loss
from compress.train.recipe import Recipe
from compress.train.trainer import Trainer


def assert_same_bits(mine: nn.Module, other: nn.Module) -> None:
    left, right = mine.state_dict(), other.state_dict()
    assert not [name for name in left if not torch.equal(left[name], right[name])]


def plain_training(chosen: Recipe) -> UNet:
    """Training written out by hand: what a recipe without distillation has always meant."""
    learner = network(0).to(memory_format=torch.channels_last)
    data = training_data(chosen)
    steps = chosen.epochs * data.steps_per_epoch(chosen.batch_size)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    rate = OneCycleLR(optimizer, max_lr=chosen.learning_rate, total_steps=max(steps + 1, 6), pct_start=0.2)
    loss = build_loss(chosen.loss)
    for epoch in range(chosen.epochs):
        learner.train()
        for batch in epoch_loader(data.train, batch_size=chosen.batch_size, epoch=epoch + 1):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=chosen.bf16):
                logits = learner(batch.images.to(memory_format=torch.channels_last))
            optimizer.zero_grad(set_to_none=True)
            loss(logits.float(), batch.labels).backward()
            optimizer.step()
            rate.step()
    return learner


@pytest.mark.parametrize("bf16", [False, True])
def test_without_distillation_training_is_what_it_was_to_the_bit(bf16: bool):
    chosen = recipe(bf16=bf16, epochs=2)
    ours = trainer(chosen, teacher=network(7))  # a teacher without a share says nothing
    fit(ours, training_data(chosen))
    assert_same_bits(ours.network, plain_training(chosen))


def test_recipes_without_distillation_read_as_before():
    """Dense networks that were trained before distillation existed must still be recognised."""
    assert RECIPE.to_json() == {
        "epochs": 4,
        "batch_size": 3,
        "learning_rate": 0.01,
        "weight_decay": 1e-4,
        "loss": "ce_dice",
        "schedule": "one_cycle",
        "augmentation": 1.0,
        "seed": 5,
        "bf16": False,
        "slices_per_volume": None,
    }


def one_batch(labels: torch.Tensor | None = None) -> Batch:
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.arange(4).repeat(3, 16, 4) if labels is None else labels)


def after_one_epoch(running: Trainer, *batches: Batch) -> float:
    return running.run_epoch(list(batches), Task())  # type: ignore[arg-type]


class TestSoftLoss:
    def test_it_is_the_divergence_from_the_teacher_per_pixel(self):
        student, teacher = torch.randn(2, 2, 4, 3, 5).unbind()
        total = 0.0
        for n, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(5)).tolist():
            p, q = (torch.softmax(logits[n, :, y, x].double() / 3.0, 0) for logits in (teacher, student))
            total += float((p * (p / q).log()).sum())
        assert float(soft_loss(student, teacher, temperature=3.0)) == pytest.approx(9.0 * total / 30, rel=1e-5)

    def test_the_same_answer_costs_nothing_whatever_its_offset(self):
        logits = torch.randn(1, 4, 2, 2)
        assert float(soft_loss(logits + 5.0, logits, temperature=2.0)) == pytest.approx(0.0, abs=1e-6)

    def test_temperature_leaves_gradients_of_one_size(self):
        """For small logits the gradient of T^2 KL does not depend on T (Hinton 2015, section 2.1)."""
        teacher, gradients = 1e-2 * torch.randn(1, 4, 8, 8, dtype=torch.double), []
        for temperature in (1.0, 10.0):
            student = torch.zeros_like(teacher, requires_grad=True)
            soft_loss(student, teacher, temperature=temperature).backward()
            gradients.append(student.grad)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0.02, atol=0.02 * float(gradients[0].abs().max()))


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_is_shared_between_labels_and_teacher(bf16: bool):
    chosen, teacher, batch = (
        recipe(distill=0.25, temperature=3.0, teacher="t", bf16=bf16),
        network(3, (6, 6)),
        one_batch(),
    )
    found = after_one_epoch(trainer(chosen, teacher=teacher), batch)
    student, teacher = network(0).train(), teacher.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        answers = [each(batch.images.to(memory_format=torch.channels_last)).float() for each in (student, teacher)]
    hard, soft = build_loss("ce_dice")(answers[0], batch.labels), soft_loss(*answers, temperature=3.0)
    assert found == pytest.approx(float(0.75 * hard + 0.25 * soft), rel=5e-3 if bf16 else 1e-5)
    assert float(soft) > 0.02


def test_the_whole_share_forgets_the_labels():
    chosen = recipe(distill=1.0, teacher="t")
    first, second = (trainer(chosen, teacher=network(3)) for _ in range(2))
    after_one_epoch(first, one_batch(), one_batch())
    other = one_batch(torch.zeros(3, 16, 16, dtype=torch.long))
    after_one_epoch(second, other, other)
    assert_same_bits(first.network, second.network)


def test_the_student_comes_closer_to_its_teacher():
    teacher, images = network(3, (6, 6)).eval(), one_batch().images
    learner = trainer(recipe(distill=1.0, teacher="t", schedule="constant"), teacher=teacher)

    def distance() -> float:
        with torch.no_grad():
            return float(soft_loss(learner.network.train()(images), teacher(images), temperature=1.0))

    before = distance()
    after_one_epoch(learner, *[one_batch()] * 30)
    assert distance() < 0.2 * before


def test_the_teacher_never_changes():
    teacher = network(3).train()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    learner = trainer(recipe(distill=0.5, teacher="t"), teacher=teacher)
    after_one_epoch(learner, one_batch())
    assert learner.teacher is not None
    for each in (teacher, learner.teacher):
        assert not [name for name, tensor in each.state_dict().items() if not torch.equal(tensor, before[name])]
    assert teacher.training and all(p.requires_grad for p in teacher.parameters())
    assert not learner.teacher.training and not any(p.requires_grad for p in learner.teacher.parameters())


def test_a_frozen_copy_is_channels_last_and_apart():
    original = network(3)
    copy = frozen_copy(original, device=torch.device("cpu"))
    assert copy.get_parameter("encoders.1.conv1.weight").is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        copy.get_parameter("head.bias").fill_(9.0)
    assert float(original.head.bias.detach().max()) != 9.0


def test_distillation_without_a_teacher_is_refused():
    with pytest.raises(
        ConfigError, match=r"takes 0\.5 of its loss from a teacher, but none was given\. Pass the dense"
    ):
        trainer(recipe(distill=0.5))


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (recipe(distill=0.5, teacher="b"), r"\(teacher a then, b now\)"),
        (recipe(distill=0.25, teacher="a"), r"\(distill 0\.5 then, 0\.25 now\)"),
        (RECIPE, r"\(distill 0\.5 then, None now, teacher a then, None now, temperature 2\.0 then, None now\)"),
    ],
)
def test_another_teacher_is_another_recipe(tmp_path: Path, now: Recipe, message: str):
    path = tmp_path / "resume.safetensors"
    trainer(recipe(distill=0.5, teacher="a"), teacher=network(3)).save(path, extra={})
    with pytest.raises(CheckpointError, match=message):
        trainer(now, teacher=network(3)).restore(path)
