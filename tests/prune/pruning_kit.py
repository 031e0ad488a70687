"""Random U-Nets with random BatchNorm statistics, and strategies for them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn

from compress.config import block_names
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.unet import UNet, dense_widths, depth_of, initialise
from compress.prune.plan import PruningPlan, rank

LABELS = {"RV": 1, "MYO": 2, "LV": 3}
IN_CHANNELS = 1


@st.composite
def widths(draw: st.DrawFn, *, least: int = 1) -> dict[str, list[int]]:
    """Every convolution of a U-Net of one to three levels has its own width from `least` to 9."""
    template = dense_widths([1] * draw(st.integers(1, 3)))
    return {block: [draw(st.integers(least, 9)) for _ in sizes] for block, sizes in template.items()}


@st.composite
def block_ratios(draw: st.DrawFn, sizes: dict[str, list[int]]) -> dict[str, float]:
    """Ratios of some blocks that leave at least one filter of each."""
    chosen = draw(st.sets(st.sampled_from(block_names(depth_of(sizes)))))
    return {block: draw(st.floats(0, 0.999)) * (1 - 0.51 / _narrowest(sizes, block)) for block in sorted(chosen)}


def _narrowest(sizes: dict[str, list[int]], block: str) -> int:
    """The smallest width that a block's ratio reaches: a transposed convolution follows what it feeds."""
    head, _, index = block.partition(".")
    follower = sizes[f"decoders.{int(index) - 1}"] if head == "decoders" and int(index) % 2 else []
    return min(*sizes[block], *follower, 10**6)


def checkpoint(sizes: dict[str, list[int]], *, seed: int = 0) -> Checkpoint:
    """A network in which no weight, bias, scale, shift, mean or variance is at its default."""
    network = UNet(IN_CHANNELS, 4, sizes)
    initialise(network, seed=seed)
    shake(network, seed=seed)
    arguments = {"in_channels": IN_CHANNELS, "out_channels": 4, "widths": sizes}
    return Checkpoint(network.eval(), Meta("unet", arguments, LABELS, {}, digest=f"dense-{seed}", epoch=seed))


@torch.no_grad()
def shake(network: nn.Module, *, seed: int) -> None:
    """Draw every BatchNorm's affine and statistics, and every bias, at random."""
    generator = torch.Generator().manual_seed(seed + 1)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            low = 0.5 if name.endswith("running_var") else -1.0
            tensor.copy_(torch.empty_like(tensor).uniform_(low, 1.5, generator=generator))


def plan_for(
    source: Checkpoint, *, default: float = 0.5, ratios: dict[str, float] | None = None, criterion: str = "l1_norm"
) -> PruningPlan:
    return rank(
        source.network,
        in_channels=IN_CHANNELS,
        criterion=criterion,
        default=default,
        block_ratios=ratios or {},
        seed=3,
        source=source.meta.digest,
    )
