"""Gradients of a loss on given data, for criteria that ask what the loss would miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from compress.errors import PlanError
from compress.models.modules import evaluating

Batches = Iterable[tuple[Any, torch.Tensor]]
"""(inputs, targets) on the network's device; inputs are one tensor, or a tuple for several arguments."""

Loss = Callable[[Any, torch.Tensor], torch.Tensor]
"""(outputs, targets) -> scalar."""


def gradients(network: nn.Module, batches: Batches, loss: Loss, *, each: bool = False) -> dict[str, torch.Tensor]:
    """Mean gradient over the batches of every parameter, by every name that it has; zeros where it has no part.

    In evaluation mode: BatchNorm's statistics are frozen and nothing drops out. Every batch counts the
    same. each: the batches stay apart, (batches, ...) per parameter, at that many times the memory.
    `.grad`, `requires_grad` and modes are left as found. Raises `PlanError` when there is no batch.
    """
    parameters = [p for p in network.parameters() if p.is_floating_point()]
    with _differentiable(network, parameters):
        steps = (_gradient(network, parameters, loss, inputs, targets) for inputs, targets in batches)
        found = _apart(steps) if each else _mean(steps)
    if found is None:
        raise PlanError("There is no batch to compute gradients on.", cure="Give `data` at least one batch.")
    by_id = dict(zip(map(id, parameters), found, strict=True))
    return {name: by_id[id(p)] for name, p in network.named_parameters(remove_duplicate=False) if id(p) in by_id}


@contextmanager
def _differentiable(network: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Evaluation mode with every parameter asking for its gradient; everything is put back afterwards."""
    frozen = [p for p in parameters if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with evaluating(network), torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _gradient(
    network: nn.Module, parameters: Sequence[nn.Parameter], loss: Loss, inputs: Any, targets: torch.Tensor
) -> list[torch.Tensor]:
    outputs = network(*inputs) if isinstance(inputs, tuple) else network(inputs)
    return list(torch.autograd.grad(loss(outputs, targets), parameters, materialize_grads=True))


def _mean(steps: Iterable[list[torch.Tensor]]) -> list[torch.Tensor] | None:
    total, count = None, 0
    for count, step in enumerate(steps, start=1):  # noqa: B007  the last count is the number of batches
        # Not in place: autograd may hand out one tensor for two parameters.
        total = step if total is None else [a + b for a, b in zip(total, step, strict=True)]
    return None if total is None else [a / count for a in total]


def _apart(steps: Iterable[list[torch.Tensor]]) -> list[torch.Tensor] | None:
    kept = list(steps)
    return [torch.stack(batches) for batches in zip(*kept, strict=True)] if kept else None
