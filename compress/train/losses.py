"""Losses by name, all from MONAI or torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses import DiceCELoss, DiceLoss
from torch import nn

from compress.registry import pick

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _ce() -> Loss:
    return nn.CrossEntropyLoss()


def _dice() -> Loss:
    # One Dice over the whole batch: slices without a structure would otherwise each count as a miss.
    loss = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    return lambda logits, labels: loss(logits, labels[:, None])


def _ce_dice() -> Loss:
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    return lambda logits, labels: loss(logits, labels[:, None])


LOSSES: dict[str, Callable[[], Loss]] = {"ce": _ce, "dice": _dice, "ce_dice": _ce_dice}


def build_loss(name: str) -> Loss:
    """A loss over logits (N, C, H, W) float32 and labels (N, H, W) int64. `ConfigError` if unknown."""
    return pick("loss", LOSSES, name)()
