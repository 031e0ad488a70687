"""Slices as a torch data set, augmented reproducibly, and batches of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from compress.data.augment import augment, build_augmentation
from compress.data.prepared import Prepared, with_channels
from compress.errors import DataError
from compress.stopping import STOPS

UNLABELLED = 255
"""Every pixel's label in the mask of a slice that has none."""


@dataclass(frozen=True)
class Batch:
    """What a network trains on."""

    images: torch.Tensor
    """(N, channels, H, W) float32."""
    labels: torch.Tensor
    """(N, H, W) int64; `UNLABELLED` all over where there is no mask."""
    answers: torch.Tensor | None = None
    """(N, C, H, W) float32: a teacher's probabilities."""


class SliceDataset(Dataset):
    """Every slice of the volumes; call `set_epoch` before each epoch to draw new augmentation."""

    def __init__(
        self, volumes: Sequence[Prepared], *, strength: float, seed: int, per_volume: int | None = None
    ) -> None:
        if any(v.mask is None for v in volumes):
            raise DataError("Training needs a mask for every volume.")
        chosen = [spread(len(v.images), per_volume) for v in volumes]
        self.images = np.concatenate([v.images[i] for v, i in zip(volumes, chosen, strict=True)])
        self.masks = np.concatenate([v.mask[i] for v, i in zip(volumes, chosen, strict=True) if v.mask is not None])
        self.answers: np.ndarray | None = None
        """(N, C, H, W) float16: a teacher's probabilities for each slice as it is stored; None without a teacher."""
        self.transform = build_augmentation(strength)
        self.seed = seed
        self.epoch = 0

    def add_unlabelled(self, images: np.ndarray, answers: np.ndarray) -> None:
        """Train as well on images, shaped as `images` is, for which the teacher alone has answers (N, C, H, W)."""
        if self.answers is None:
            raise DataError("Images without masks need a teacher, who has not answered for the others.")
        unknown = np.full((len(images), *self.masks.shape[1:]), UNLABELLED, self.masks.dtype)
        self.images = np.concatenate([self.images, images])
        self.masks = np.concatenate([self.masks, unknown])
        self.answers = np.concatenate([self.answers, answers])

    def set_epoch(self, epoch: int) -> None:
        """Choose the augmentation of epoch `epoch` (counted from 1)."""
        self.epoch = epoch

    def without_slices(self) -> SliceDataset:
        """A copy that holds no images; another process fills it."""
        empty = copy(self)
        empty.images, empty.masks, empty.answers = self.images[:0], self.masks[:0], None
        return empty

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        stored = (self.images, self.masks) if self.answers is None else (self.images, self.masks, self.answers)
        sample = tuple(each[index] for each in stored)
        if self.transform is None:
            return sample
        return augment(self.transform, *sample, seed=sample_seed(self.seed, self.epoch, index))


def spread(slices: int, wanted: int | None) -> np.ndarray:
    """Indices of `wanted` slices evenly spread over a volume (all when None or fewer exist)."""
    if wanted is None or wanted >= slices:
        return np.arange(slices)
    return ((np.arange(wanted) + 0.5) * slices / wanted).astype(int)  # the middles of equal parts


def sample_seed(*parts: int) -> int:
    """One 32-bit seed from several numbers, well mixed."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1)[0])


def epoch_loader(
    dataset: SliceDataset,
    *,
    batch_size: int,
    epoch: int,
    workers: int = 0,
    done: int = 0,
    share: Callable[[Sequence[int]], Sequence[int]] = list,
) -> DataLoader:
    """The shuffled batches of one epoch, a function of (seed, epoch) alone, from batch `done` on.

    share: which slices of a batch this process takes; all, where it trains alone.
    An incomplete last batch is dropped unless it is the only one: BatchNorm suffers from tiny batches.
    """
    dataset.set_epoch(epoch)
    generator = torch.Generator().manual_seed(sample_seed(dataset.seed, epoch))
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # a shuffling DataLoader would draw before it
    order = torch.randperm(len(dataset), generator=generator).tolist()
    size = min(batch_size, len(dataset))
    batches = [order[first : first + size] for first in range(0, len(order) - size + 1, size)]
    return DataLoader(
        dataset,
        batch_sampler=[list(share(batch)) for batch in batches[done:]],
        generator=generator,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_leave_stopping_to_the_parent,
    )


def _leave_stopping_to_the_parent(_: int) -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def collate(samples: Sequence[tuple[np.ndarray, ...]]) -> Batch:
    """Stack samples (image (H, W) or (channels, H, W), mask (H, W), perhaps answers (C, H, W)) into a `Batch`."""
    images, labels, *answers = (np.stack(each) for each in zip(*samples, strict=True))
    answered = (torch.from_numpy(each).float() for each in answers)
    return Batch(torch.from_numpy(with_channels(images)), torch.from_numpy(labels).long(), *answered)
