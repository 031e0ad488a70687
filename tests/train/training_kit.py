"""A network of a few hundred weights and a data set that it can learn in seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from compress.data.dataset import SliceDataset
from compress.data.prepared import Prepared
from compress.data.preprocess import Geometry
from compress.data.volume import ACDC_LABELS
from compress.models.unet import UNet, dense_widths, initialise
from compress.train.distill import teacher_answers
from compress.train.loop import TrainingData
from compress.train.recipe import Recipe
from compress.train.trainer import Trainer

SIZE = (16, 16)
CPU = torch.device("cpu")
RECIPE = Recipe(
    epochs=4,
    batch_size=3,
    learning_rate=0.01,
    weight_decay=1e-4,
    loss="ce_dice",
    schedule="one_cycle",
    augmentation=1.0,
    seed=5,
    bf16=False,
)


def volume(seed: int, slices: int = 3) -> Prepared:
    """Four bands whose brightness is their label, with a little noise."""
    rng = np.random.default_rng(seed)
    mask = np.repeat(rng.permuted(np.tile(np.arange(4, dtype=np.uint8), (slices, 1)), axis=1), 4, axis=1)
    mask = np.broadcast_to(mask[:, :, None], (slices, *SIZE)).copy()
    images = (mask - 1.5 + 0.1 * rng.standard_normal(mask.shape)).astype(np.float32)
    return Prepared(images, mask, Geometry(SIZE, SIZE, SIZE))


def training_data(recipe: Recipe = RECIPE, *, teacher: torch.nn.Module | None = None) -> TrainingData:
    dataset = SliceDataset([volume(0), volume(1)], strength=recipe.augmentation, seed=recipe.seed)
    dataset.answers = None if teacher is None else answers_of(teacher, dataset.images, recipe)
    return TrainingData(dataset, [volume(2)], ACDC_LABELS)


def network(seed: int, features: tuple[int, ...] = (4, 8)) -> UNet:
    made = UNet(1, 4, dense_widths(features))
    initialise(made, seed=seed)
    return made


def trainer(
    recipe: Recipe = RECIPE,
    *,
    features: tuple[int, ...] = (4, 8),
    seed: int = 0,
) -> Trainer:
    steps = training_data(recipe).steps_per_epoch(recipe.batch_size)
    return Trainer(network(seed, features), recipe, steps_per_epoch=steps, device=CPU)


def answers_of(teacher: torch.nn.Module, images: np.ndarray, recipe: Recipe) -> np.ndarray:
    return teacher_answers(teacher, images, temperature=recipe.temperature, device=CPU, bf16=recipe.bf16)


def recipe(**changes: object) -> Recipe:
    return replace(RECIPE, **changes)
