"""BatchNorm recalibration: fresh running statistics for a network whose channels were cut.

Li 2020, EagleEye (arXiv:2007.02491): after pruning, the stored means and variances describe inputs
that no longer exist; measuring them again costs a few forward passes and no labels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


@torch.no_grad()
def recalibrate(network: nn.Module, images: np.ndarray, *, batch_size: int = 16, batches: int = 32, seed: int) -> None:
    """Replace every BatchNorm's running statistics by averages over training slices, in place.

    images: (N, H, W) float32, prepared but not augmented. Weights do not change. A network without
    BatchNorm is left as it is. The network is in evaluation mode afterwards.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches instead of a moving one
    network.train()
    order = np.random.default_rng(seed).permutation(len(images))[: batch_size * batches]
    for start in range(0, len(order), batch_size):
        network(torch.from_numpy(images[np.sort(order[start : start + batch_size])])[:, None])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
