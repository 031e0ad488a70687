"""Less depth: a double convolution becomes a single one, and the level of full resolution goes.

Both are fitted by least squares (`compress.prune.compensate`): a single convolution to what the second one of its
block put out, from what the block sees; without full resolution, the first convolution to what it put out there, and
the head to the logits of the four pixels of each square.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import pixel_unshuffle

from compress.errors import ConfigError
from compress.models.build import architecture_of, build
from compress.models.checkpoint import Checkpoint, weights_digest
from compress.prune.compensate import Images, Repair, Target, fit_layers, inputs_from


@dataclass(frozen=True)
class Depth:
    """Moves of depth."""

    single: tuple[str, ...] = ()
    """Double convolutions that become single ones."""
    space_to_depth: bool = False
    """Whether squares of 2x2 pixels become channels before the network, and pixels again after its head."""

    def __bool__(self) -> bool:
        return bool(self.single) or self.space_to_depth


@torch.no_grad()
def restructure(
    source: Checkpoint, depth: Depth, images: Images, *, seed: int = 0
) -> tuple[Checkpoint, tuple[Repair, ...]]:
    """The network of less depth with the weights of `source`, its new convolutions fitted, and how well each fits.

    images: as for `compensate`. Raises `ConfigError` for blocks that cannot become single.
    """
    meta = source.meta
    change = architecture_of(meta.architecture).restructure
    if change is None:
        raise ConfigError(
            f"Networks of the kind {meta.architecture} cannot lose depth.",
            cure="Leave `single` and `space_to_depth` out of the ratios.",
        )
    arguments, new = change(meta.arguments, depth.single, depth.space_to_depth)
    network = build(meta.architecture, arguments).eval()
    tensors = source.network.state_dict()
    begun = {name: _begin(tensors[name], own, name, new) for name, own in network.state_dict().items()}
    network.load_state_dict(begun)
    modules: dict[str, Any] = {name: network.get_submodule(name) for name in new}
    for name, norm in new.items():
        if norm:  # what the fit finds beside the weights is given to the norm, below
            modules[name].bias = nn.Parameter(torch.zeros(modules[name].out_channels))
    targets = {name: _target(source.network.get_submodule(name), module) for name, module in modules.items()}
    repairs = fit_layers(source.network, network, targets, inputs_from(images), seed=seed)
    for name, norm in new.items():
        if norm:
            module, after = modules[name], network.get_submodule(norm)
            cast(torch.Tensor, after.running_mean).sub_(module.bias)
            module.bias = None
    described = replace(meta, arguments=arguments, stage="pruned", parent=meta.digest)
    return Checkpoint(network, replace(described, digest=weights_digest(network, described))), repairs


def _begin(before: torch.Tensor, own: torch.Tensor, name: str, new: dict[str, str]) -> torch.Tensor:
    return torch.zeros_like(own) if name.rpartition(".")[0] in new else before


def _target(before: Any, now: Any) -> Target:
    """The same outputs; where there are more channels now, those of each square's pixels together."""
    if before.out_channels == now.out_channels:
        return nn.Identity()
    factor = round((now.out_channels / before.out_channels) ** 0.5)
    return lambda outputs: pixel_unshuffle(outputs, factor)
