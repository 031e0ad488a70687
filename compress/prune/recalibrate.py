"""BatchNorm recalibration: fresh running statistics for a network whose channels were cut.

Li 2020, EagleEye (arXiv:2007.02491): after pruning, the stored means and variances describe inputs
that no longer exist; measuring them again costs a few forward passes and no labels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from compress.data.prepared import with_channels
from compress.errors import DataError


@torch.no_grad()
def recalibrate(network: nn.Module, images: np.ndarray, *, batch_size: int = 16, batches: int = 32, seed: int) -> None:
    """Replace every BatchNorm's running statistics by averages over training slices, in place.

    images: (N, H, W) or (N, channels, H, W) float32, prepared but not augmented; every one counts the same, also in a
    short last batch.
    Weights do not change. A network without BatchNorm is left as it is. The network is in evaluation mode afterwards.
    Raises `DataError` when a batch leaves a single value per channel, of which there is no variance.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    order = np.random.default_rng(seed).permutation(len(images))[: batch_size * batches]
    network.train()
    try:
        for start in range(0, len(order), batch_size):
            chosen = np.sort(order[start : start + batch_size])
            for norm in norms:  # the average of all images so far
                norm.momentum = len(chosen) / (start + len(chosen))
            _run(network, torch.from_numpy(with_channels(images[chosen])))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


def _run(network: nn.Module, images: torch.Tensor) -> None:
    try:
        network(images)
    except ValueError as fault:
        if "more than 1 value per channel" not in str(fault):
            raise
        raise DataError(
            f"BatchNorm cannot be measured on a batch of {len(images)}: one value per channel has no variance.",
            cure="Give more images, or a batch size that leaves no last batch of one.",
        ) from fault
