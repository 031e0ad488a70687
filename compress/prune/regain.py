"""Learning from a teacher without labels: the smaller network is trained towards another one's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils._pytree import tree_leaves

from compress.errors import ConfigError, PlanError
from compress.models.modules import evaluating

Data = Iterable[torch.Tensor | Sequence[torch.Tensor]]
"""Batches as a DataLoader gives them: inputs (N, C, ...), or inputs and targets; inputs may be a tuple of tensors."""


def arguments_of(batch: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """What the network is called with: a batch's inputs, without its targets."""
    inputs = batch if isinstance(batch, torch.Tensor) else batch[0]
    return (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)


def learn_from(teacher: nn.Module, student: nn.Module, data: Data, *, epochs: int, rate: float = 1e-3) -> list[float]:
    """Train `student` in place towards the outputs of `teacher`; the mean loss of each epoch.

    The loss is the squared difference of every output over that output's variance, so that no scale matters
    (matching outputs beats softened ones: Kim 2021, arXiv:2105.08919). AdamW, one cycle up to `rate`, in
    evaluation mode: statistics of norms stay what the kept channels and their repair count on. Raises
    `PlanError` when the networks' outputs do not match and `ConfigError` for data without a batch.
    """
    steps = epochs * sum(1 for _ in data)
    if not steps:
        raise ConfigError("There is nothing to learn from.", cure="Give at least one batch and one epoch.")
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate)
    schedule = OneCycleLR(optimizer, max_lr=rate, total_steps=steps + 1)
    losses = []
    with evaluating(teacher), evaluating(student):
        for _ in range(epochs):
            found = []
            for batch in data:
                found.append(_step(teacher, student, arguments_of(batch), optimizer))
                schedule.step()
            losses.append(sum(found) / len(found))
    return losses


def _step(
    teacher: nn.Module, student: nn.Module, inputs: tuple[torch.Tensor, ...], optimizer: torch.optim.Optimizer
) -> float:
    with torch.no_grad():
        wanted = _outputs(teacher, inputs)
    loss = torch.stack([_distance(*pair) for pair in zip(_outputs(student, inputs), wanted, strict=True)]).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _outputs(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    tensors = [leaf for leaf in tree_leaves(network(*inputs)) if isinstance(leaf, torch.Tensor)]
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _distance(mine: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    if mine.shape != wanted.shape:
        raise PlanError(f"The teacher gives {tuple(wanted.shape)} where the smaller network gives {tuple(mine.shape)}.")
    return (mine - wanted).square().mean() / wanted.var(unbiased=False).clamp(min=1e-12)
