"""Random U-Nets with random BatchNorm statistics, strategies for them, and the oracle: silenced channels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from hypothesis import strategies as st
from torch import nn

from compress.config import block_names
from compress.data.volume import ACDC_LABELS
from compress.export.onnx import frozen_copy
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.unet import UNet, dense_widths, followers, initialise
from compress.prune import PruningPlan, find_groups, rank
from compress.prune.groups import SILENCED, ChannelGroups, Group, removed

IN_CHANNELS = 1
Sizes = Mapping[str, Sequence[int]]


@st.composite
def widths(draw: st.DrawFn, *, least: int = 1) -> dict[str, list[int]]:
    """Every convolution of a U-Net of one to three levels has its own width from `least` to 9."""
    template = dense_widths([1] * draw(st.integers(1, 3)))
    drawn = {block: [draw(st.integers(least, 9)) for _ in sizes] for block, sizes in template.items()}
    drawn["bottleneck"][0] = max(2, drawn["bottleneck"][0])  # something can always be pruned
    return drawn


@st.composite
def block_ratios(draw: st.DrawFn, sizes: Sizes) -> dict[str, float]:
    """Ratios of some blocks that leave at least one filter of each."""
    reached = {block: _reached(sizes, block) for block in block_names(sum(n.startswith("enc") for n in sizes))}
    chosen = draw(st.sets(st.sampled_from([block for block, groups in reached.items() if groups])))
    return {b: draw(st.floats(0, 0.999)) * (1 - 0.51 / min(g.width for g in reached[b])) for b in sorted(chosen)}


def _reached(sizes: Sizes, block: str) -> list[Group]:
    """The groups that a block's ratio reaches: a transposed convolution follows what it feeds."""
    head, _, index = block.partition(".")
    follower = f"decoders.{int(index) - 1}" if head == "decoders" and int(index) % 2 else block
    return [g for g in unet_groups(sizes).groups if g.block in (block, follower)]


def checkpoint(sizes: dict[str, list[int]], *, seed: int = 0) -> Checkpoint:
    """A network in which no weight, bias, scale, shift, mean or variance is at its default."""
    network = UNet(IN_CHANNELS, 4, sizes)
    initialise(network, seed=seed)
    shake(network, seed=seed)
    arguments = {"in_channels": IN_CHANNELS, "out_channels": 4, "widths": sizes}
    return Checkpoint(network.eval(), Meta("unet", arguments, ACDC_LABELS, {}, digest=f"dense-{seed}", epoch=seed))


@torch.no_grad()
def shake(network: nn.Module, *, seed: int) -> None:
    """Draw every norm's affine and statistics, every slope and every bias at random."""
    generator = torch.Generator().manual_seed(seed + 1)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            low = 0.5 if name.endswith("running_var") else -1.0
            tensor.copy_(torch.empty_like(tensor).uniform_(low, 1.5, generator=generator))


def unet_groups(sizes: Sizes) -> ChannelGroups:
    """The channel groups of a U-Net, traced once for each set of widths."""
    return _unet_groups(tuple((block, tuple(each)) for block, each in sizes.items()))


@functools.lru_cache(maxsize=64)
def _unet_groups(sizes: tuple[tuple[str, tuple[int, ...]], ...]) -> ChannelGroups:
    network = UNet(IN_CHANNELS, 4, dict(sizes))
    return find_groups(network, _example(network))


def _example(network: nn.Module) -> torch.Tensor:
    side = 2 * int(network.divisor)
    return torch.zeros(1, IN_CHANNELS, side, side)


def plan_for(
    source: Checkpoint, *, ratio: float = 0.5, ratios: dict[str, float] | None = None, **more: Any
) -> PruningPlan:
    """A plan for a U-Net, by default with textbook counts: no alignment."""
    settings: dict[str, Any] = {"align": "none", "seed": 3, "source": source.meta.digest, **more}
    widths = source.meta.arguments["widths"]
    settings |= {"follow": followers(widths), "groups": unet_groups(widths)}
    return rank(source.network, _example(source.network), ratio=ratio, ratios=ratios, **settings)


def masked(
    tensors: Mapping[str, torch.Tensor], groups: Sequence[Group], kept: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """`tensors` of unchanged shape with removed channels silenced: the oracle for `sliced`.

    Filter, bias, norm weight and norm bias become zero, so a removed channel is zero after its norm.
    """
    result = {name: tensor.clone() for name, tensor in tensors.items()}
    for (name, dim), gone in removed(groups, kept, roles=SILENCED).items():
        result[name].index_fill_(dim, torch.from_numpy(gone), 0.0)
    return result


def silenced(network: nn.Module, plan: PruningPlan) -> nn.Module:
    """The dense network with removed channels zero after every layer: filters, biases, norms, and the
    mean that a BatchNorm without shift would subtract."""
    tensors = masked(tensors_of(network), plan.channel_groups, plan.kept)
    sites = removed(plan.channel_groups, plan.kept, roles=(*SILENCED, "statistic"))
    for (name, dim), gone in sites.items():
        if name.endswith("running_mean"):
            tensors[name].index_fill_(dim, torch.from_numpy(gone), 0.0)
    return filled(network, {name: tensors[name] for name, _ in sites})


def unheard(network: nn.Module, plan: PruningPlan) -> nn.Module:
    """The dense network in which nobody listens to removed channels: their consumers' weights are zero."""
    tensors = tensors_of(network)
    sites = removed(plan.channel_groups, plan.kept, roles=("consumer",))
    for (name, dim), gone in sites.items():
        tensors[name].index_fill_(dim, torch.from_numpy(gone), 0.0)
    return filled(network, {name: tensors[name] for name, _ in sites})


def tensors_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of every parameter and buffer, by every name that it has."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return {name: tensor.detach().clone() for name, tensor in named}


@torch.no_grad()
def filled(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """A copy with other values for some tensors."""
    twin = deepcopy(network)
    own = {**dict(twin.named_parameters(remove_duplicate=False)), **dict(twin.named_buffers(remove_duplicate=False))}
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
    return twin


def outputs_of(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What a network returns, one tensor or several, without gradients."""
    with torch.no_grad():
        made = network(images)
    return [made] if isinstance(made, torch.Tensor) else list(made)


def largest_difference(first: nn.Module, second: nn.Module, images: torch.Tensor) -> float:
    """Over all outputs, relative to the largest value of `second` (or to 1 where that is smaller)."""
    pairs = list(zip(outputs_of(first, images), outputs_of(second, images), strict=True))
    assert all(mine.shape == other.shape for mine, other in pairs)
    return max(float((mine - other).abs().max()) / max(1.0, float(other.abs().max())) for mine, other in pairs)


def images_like(example: torch.Tensor, *, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn((batch, *example.shape[1:]), generator=torch.Generator().manual_seed(seed))


def train_one_step(network: nn.Module, images: torch.Tensor) -> None:
    """Every parameter gets a finite gradient, and one step of descent leaves the outputs finite."""
    optimiser = torch.optim.SGD(network.train().parameters(), lr=1e-4)
    made = network(images)
    parts = [made] if isinstance(made, torch.Tensor) else list(made)
    torch.stack([(part - 1).square().mean() for part in parts]).sum().backward()
    grads = [tensor.grad for tensor in network.parameters() if tensor.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)
    optimiser.step()
    assert all(torch.isfinite(part).all() for part in outputs_of(network.eval(), images))


def onnx_difference(network: nn.Module, images: torch.Tensor, path: Path) -> float:
    """Between torch and ONNX Runtime, as `largest_difference`; exported for these images' size."""
    program = torch.onnx.export(frozen_copy(network), (images,), dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    program.save(str(path))
    return session_difference(network, images, path)


def session_difference(network: nn.Module, images: torch.Tensor, path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    pairs = zip(outputs_of(network, images), map(torch.from_numpy, theirs), strict=True)
    return max(float((mine - other).abs().max()) / max(1.0, float(mine.abs().max())) for mine, other in pairs)
