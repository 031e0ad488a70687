"""Distillation: a trained teacher's soft answers as a second target (Hinton 2015, arXiv:1503.02531).

The teacher answers once, before training begins, and its answers are turned, mirrored and scaled with each image: it
and the student see the same view (Beyer 2022, arXiv:2106.05237), and an epoch costs what it costs without a teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import kl_div, log_softmax

from compress.data.prepared import with_channels
from compress.files import atomic_path
from compress.models.modules import evaluating
from compress.progress import SILENT, Progress
from compress.vouch import read_sealed, write_sealed

VIEWS = 8
"""Each answer is the mean over an image mirrored and turned by quarters; 4 where it is not square."""
_BATCH = 16


def soft_loss(student: torch.Tensor, answers: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """T^2 KL(teacher || student), mean over pixels.

    student: logits (N, C, H, W) float32. answers: the teacher's probabilities, softened by the same temperature T.
    T^2 keeps the gradients as large as those of the hard loss, whatever the temperature.
    """
    mine = log_softmax(student / temperature, dim=1)
    return temperature**2 * kl_div(mine, answers, reduction="none").sum(dim=1).mean()


@torch.no_grad()
def teacher_answers(
    network: nn.Module,
    images: np.ndarray,
    *,
    temperature: float,
    device: torch.device,
    bf16: bool,
    progress: Progress = SILENT,
) -> np.ndarray:
    """(N, C, H, W) float16: the softened probabilities of `network` for images (N, H, W) or (N, channels, H, W),
    mean over all views.

    The network is moved to `device` and there left in the mode that it came in.
    """
    network = network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore
    found = []
    with progress.task("Asking the teacher", len(images)) as task, evaluating(network):
        for first in range(0, len(images), _BATCH):
            batch = torch.from_numpy(with_channels(images[first : first + _BATCH])).to(device)
            views = [undo(_softened(network, view, temperature, bf16)) for view, undo in _views(batch)]
            found.append(torch.stack(views).mean(dim=0).half().cpu().numpy())
            task.advance(len(batch))
    return np.concatenate(found)


def stored_answers(path: Path, ask: Callable[[], np.ndarray]) -> np.ndarray:
    """What `ask` answers, kept in the file `path`; one that is damaged, or not this user's, is written again."""
    found = read_sealed(path, path.name)
    if found is not None:
        return found["answers"]
    answers = ask()
    with atomic_path(path) as temporary:
        write_sealed(temporary, path.name, pack=False, answers=answers)
    return answers


def _softened(network: nn.Module, view: torch.Tensor, temperature: float, bf16: bool) -> torch.Tensor:
    view = view.contiguous(memory_format=torch.channels_last)
    with torch.autocast(view.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = network(view)
    return torch.softmax(logits.float() / temperature, dim=1)


def _views(batch: torch.Tensor) -> Iterator[tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]]:
    """The batch in every view, and what turns an answer back."""
    square = batch.shape[-1] == batch.shape[-2]
    for turns in range(0, 4, 1 if square else 2):
        for mirrored in (False, True):
            yield _seen(batch, turns, mirrored), lambda answer, k=turns, m=mirrored: _unseen(answer, k, m)


def _seen(batch: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    turned = torch.rot90(batch, turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _unseen(answer: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    return torch.rot90(answer.flip(-1) if mirrored else answer, -turns, (-2, -1))
