"""Distillation: its loss, its frozen teacher, and that leaving it off changes no bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from training_kit import CPU, RECIPE, answers_of, network, recipe, trainer, training_data, volume

from compress.data.dataset import Batch, SliceDataset, epoch_loader
from compress.errors import CheckpointError, ConfigError
from compress.models.unet import UNet
from compress.progress import Task
from compress.train.distill import soft_loss, stored_answers, teacher_answers
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
    ours = trainer(chosen)
    fit(ours, training_data(chosen, teacher=network(7)))  # a teacher without a share says nothing
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


def one_batch(
    labels: torch.Tensor | None = None, *, teacher: nn.Module | None = None, temperature: float = 2.0
) -> Batch:
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(4).repeat(3, 16, 4) if labels is None else labels
    if teacher is None:
        return Batch(images, labels)
    with torch.no_grad():
        return Batch(images, labels, torch.softmax(teacher.eval()(images) / temperature, dim=1))


def after_one_epoch(running: Trainer, *batches: Batch) -> float:
    return running.run_epoch(list(batches), Task())  # type: ignore[arg-type]


class TestSoftLoss:
    def test_it_is_the_divergence_from_the_teacher_per_pixel(self):
        student, teacher = torch.randn(2, 2, 4, 3, 5).unbind()
        total = 0.0
        for n, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(5)).tolist():
            p, q = (torch.softmax(logits[n, :, y, x].double() / 3.0, 0) for logits in (teacher, student))
            total += float((p * (p / q).log()).sum())
        answers = torch.softmax(teacher / 3.0, dim=1)
        assert float(soft_loss(student, answers, temperature=3.0)) == pytest.approx(9.0 * total / 30, rel=1e-5)

    def test_the_same_answer_costs_nothing_whatever_its_offset(self):
        logits = torch.randn(1, 4, 2, 2)
        answers = torch.softmax(logits / 2.0, dim=1)
        assert float(soft_loss(logits + 5.0, answers, temperature=2.0)) == pytest.approx(0.0, abs=1e-6)

    def test_temperature_leaves_gradients_of_one_size(self):
        """For small logits the gradient of T^2 KL does not depend on T (Hinton 2015, section 2.1)."""
        teacher, gradients = 1e-2 * torch.randn(1, 4, 8, 8, dtype=torch.double), []
        for temperature in (1.0, 10.0):
            student = torch.zeros_like(teacher, requires_grad=True)
            soft_loss(student, torch.softmax(teacher / temperature, dim=1), temperature=temperature).backward()
            gradients.append(student.grad)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0.02, atol=0.02 * float(gradients[0].abs().max()))


def test_the_loss_is_shared_between_labels_and_teacher():
    batch = one_batch(teacher=network(3, (6, 6)), temperature=3.0)
    found = after_one_epoch(trainer(recipe(distill=0.25, temperature=3.0, teacher="t")), batch)
    with torch.no_grad():
        student = network(0).train()(batch.images.to(memory_format=torch.channels_last))
    assert batch.answers is not None
    hard, soft = build_loss("ce_dice")(student, batch.labels), soft_loss(student, batch.answers, temperature=3.0)
    assert found == pytest.approx(float(0.75 * hard + 0.25 * soft), rel=1e-5)
    assert float(soft) > 0.02


def test_the_whole_share_forgets_the_labels():
    chosen, teacher = recipe(distill=1.0, teacher="t"), network(3)
    first, second = trainer(chosen), trainer(chosen)
    after_one_epoch(first, *[one_batch(teacher=teacher)] * 2)
    after_one_epoch(second, *[one_batch(torch.zeros(3, 16, 16, dtype=torch.long), teacher=teacher)] * 2)
    assert_same_bits(first.network, second.network)


def test_the_student_comes_closer_to_its_teacher():
    batch = one_batch(teacher=network(3, (6, 6)))
    learner = trainer(recipe(distill=1.0, teacher="t", schedule="constant"))

    def distance() -> float:
        assert batch.answers is not None
        with torch.no_grad():
            return float(soft_loss(learner.network.train()(batch.images), batch.answers, temperature=2.0))

    before = distance()
    after_one_epoch(learner, *[batch] * 30)
    assert distance() < 0.4 * before


class TestAnswers:
    @pytest.mark.parametrize("shape", [(16, 16), (16, 24)])
    def test_they_are_the_mean_over_mirrored_and_turned_images(self, shape: tuple[int, int]):
        teacher, images = network(3).eval(), np.random.default_rng(0).normal(size=(18, *shape)).astype(np.float32)
        found = teacher_answers(teacher, images, temperature=2.0, device=CPU, bf16=False)
        turns = range(4) if shape[0] == shape[1] else (0, 2)
        expected = []
        with torch.no_grad():
            for k in turns:
                for flip in (slice(None), slice(None, None, -1)):
                    view = np.rot90(images[..., flip], k, (-2, -1))
                    soft = torch.softmax(teacher(torch.from_numpy(view.copy())[:, None]) / 2.0, 1).numpy()
                    expected.append(np.rot90(soft, -k, (-2, -1))[..., flip])
        np.testing.assert_allclose(found, np.mean(expected, 0), atol=1e-3)
        assert found.dtype == np.float16

    def test_the_teacher_never_changes(self):
        teacher = network(3).train()
        before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
        answers_of(teacher, volume(0).images, RECIPE)
        assert not [name for name, tensor in teacher.state_dict().items() if not torch.equal(tensor, before[name])]
        assert teacher.training

    def test_they_are_asked_once_and_again_where_the_file_is_damaged(self, tmp_path: Path):
        path, asked = tmp_path / "cache" / "answers.npy", []

        def ask() -> np.ndarray:
            asked.append(1)
            return np.full((2, 4, 3, 3), 0.25, np.float16)

        first = stored_answers(path, ask)
        assert np.array_equal(stored_answers(path, ask), first) and len(asked) == 1
        path.write_bytes(path.read_bytes()[:-7])
        assert np.array_equal(stored_answers(path, ask), first) and len(asked) == 2

    def test_what_another_user_put_there_is_asked_again(self, tmp_path: Path):
        """Whoever can write to a shared cache would otherwise choose what others' networks learn."""
        path, true = tmp_path / "answers.npy", np.full((2, 4, 3, 3), 0.25, np.float16)
        stored_answers(path, lambda: true)
        own = path.read_bytes()[-32:]
        np.savez(tmp_path / "forged.npz", answers=np.eye(4, dtype=np.float16)[:2, :, None, None] + 0 * true)
        for end in (b"", own):
            path.write_bytes((tmp_path / "forged.npz").read_bytes() + end)
            assert np.array_equal(stored_answers(path, lambda: true), true)
        stored_answers(tmp_path / "other.npy", lambda: 0 * true)
        path.write_bytes((tmp_path / "other.npy").read_bytes())
        assert np.array_equal(stored_answers(path, lambda: true), true), "answers to other questions"

    def test_they_move_with_the_image(self):
        """Answers that are the mask itself stay the mask, at whatever angle; image and mask are as without them."""
        plain, taught = (SliceDataset([volume(0)], strength=1.0, seed=1) for _ in range(2))
        taught.answers = np.eye(4, dtype=np.float16)[taught.masks].transpose(0, 3, 1, 2)
        for epoch in range(1, 9):
            plain.set_epoch(epoch), taught.set_epoch(epoch)
            (image, mask), (same_image, same_mask, answers) = plain[0], taught[0]
            assert np.array_equal(image, same_image) and np.array_equal(mask, same_mask)
            np.testing.assert_allclose(answers.astype(np.float32).sum(0), 1, atol=2e-3)
            assert np.mean(answers.argmax(0) == mask) > 0.93


def test_distillation_without_a_teacher_is_refused():
    with pytest.raises(ConfigError, match=r"takes 0\.5 of its loss from a teacher, but none has answered\. Give"):
        after_one_epoch(trainer(recipe(distill=0.5)), one_batch())


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (recipe(distill=0.5, teacher="b"), r"\(teacher a then, b now\)"),
        (recipe(distill=0.25, teacher="a"), r"\(distill 0\.5 then, 0\.25 now\)"),
        (
            RECIPE,
            r"\(distill 0\.5 then, None now, teacher a then, None now, .*, views 8 then, None now\)",
        ),
    ],
)
def test_another_teacher_is_another_recipe(tmp_path: Path, now: Recipe, message: str):
    path = tmp_path / "resume.safetensors"
    trainer(recipe(distill=0.5, teacher="a")).save(path, extra={})
    with pytest.raises(CheckpointError, match=message):
        trainer(now).restore(path)
