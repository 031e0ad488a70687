"""Importance of each channel of a group. Register a function in `CRITERIA` to add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from compress.files import digest_bytes
from compress.prune.groups import Group
from compress.registry import pick

Tensors = Mapping[str, torch.Tensor]
Criterion = Callable[[Group, Tensors, int], np.ndarray]
"""(group, state dict, seed) -> scores (width,) float64; the lowest are removed first."""


def l1_norm(group: Group, tensors: Tensors, seed: int) -> np.ndarray:
    """L1 norm of everything that a channel's removal takes away: its filter and its consumers' slices.

    Li 2017 (arXiv:1608.08710) for the filter alone; Fang 2023 (arXiv:2301.12900) for the sum over
    the coupled group. Each tensor is divided by its mean first, so that a large consumer does not
    drown the filter. Biases and norms are left out: their scale is not the filter's.
    """
    scores = np.zeros(group.width)
    for member in group.members:
        if member.role != "norm" and tensors[member.tensor].ndim > 1:
            norms = slice_norms(tensors[member.tensor], member.dim)[member.offset : member.offset + group.width]
            scores += norms / max(norms.mean(), np.finfo(float).tiny)
    return scores


def random_order(group: Group, tensors: Tensors, seed: int) -> np.ndarray:
    """Uniform random scores: the control that every criterion has to beat."""
    salt = int(digest_bytes(group.name.encode())[:8], 16)
    return np.random.default_rng([seed, salt]).random(group.width)


def slice_norms(tensor: torch.Tensor, dim: int) -> np.ndarray:
    """L1 norm of every slice of `tensor` along `dim`, (size of dim,) float64."""
    moved = tensor.detach().cpu().double().movedim(dim, 0)
    return moved.abs().flatten(1).sum(1).numpy()


CRITERIA: dict[str, Criterion] = {"l1_norm": l1_norm, "random": random_order}


def score(criterion: str, group: Group, tensors: Tensors, *, seed: int) -> np.ndarray:
    """Scores of a group's channels by a criterion's name; `ConfigError` when it is unknown."""
    return pick("pruning.method", CRITERIA, criterion)(group, tensors, seed)
