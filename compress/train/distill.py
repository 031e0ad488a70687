"""Distillation: a trained teacher's soft answers as a second target (Hinton 2015, arXiv:1503.02531)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import kl_div, log_softmax

from compress.models.modules import copied


def soft_loss(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """T^2 KL(teacher || student), mean over pixels, of logits (N, C, H, W) float32 softened by T.

    T^2 keeps the gradients as large as those of the hard loss, whatever the temperature.
    """
    mine, target = (log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return temperature**2 * kl_div(mine, target, reduction="none", log_target=True).sum(dim=1).mean()


def frozen_copy(network: nn.Module, *, device: torch.device) -> nn.Module:
    """A copy that never trains: evaluation mode, no gradients, in the memory format of training."""
    copy = copied(network).to(device=device, memory_format=torch.channels_last)  # pyright: ignore
    return copy.requires_grad_(False).eval()
