"""Least-squares compensation: what remains of a convolution's inputs learns to do the work of all.

He 2017 (arXiv:1707.06168): after channels were removed, each convolution that lost inputs is fitted again
to the outputs that it had in the dense network. Its inputs are the pruned network's own, so that it
also makes up for what earlier layers lost. No labels and no gradients are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.data.prepared import with_channels
from compress.errors import PlanError
from compress.prune.groups import removed
from compress.prune.patches import add_to_weights, is_matrix, patches_at, weights_of
from compress.prune.plan import PruningPlan
from compress.prune.stepwise import arriving_at

Images = np.ndarray | Sequence[torch.Tensor]
Target = Callable[[torch.Tensor], torch.Tensor]
"""Outputs of a dense module (N, channels, ...) -> those that another one should have."""

BATCH = 8
"""Images in memory at a time."""
_RIDGE = 1e-4
"""Pull towards the old weights, relative to the mean energy of an input."""
_HELD_OUT = 5
"""Every fifth position is kept from the fit and decides whether the fit is taken."""


@dataclass(frozen=True)
class Repair:
    """One convolution's squared output error over the outputs' energy, at positions that the fit never saw."""

    layer: str
    before: float
    after: float
    """Equal to `before` where the old weights were no worse and stayed."""


@dataclass(frozen=True)
class _Sample:
    """What one layer of the dense network gives for one batch, at random positions."""

    places: torch.Tensor
    """(1 + dimensions, P): image and position."""
    wanted: torch.Tensor
    """(P, outputs)."""


@torch.no_grad()
def compensate(
    dense: nn.Module,
    pruned: nn.Module,
    kept_outputs: Mapping[str, Sequence[int]],
    images: Images,
    *,
    positions: int = 20_000,
    seed: int,
) -> tuple[Repair, ...]:
    """Fit every convolution of `pruned` that lost inputs to its outputs in `dense`, in place, in order of execution.

    images: (N, ...) float32, one channel; or a tensor (N, C, ...) for each input of the network. kept_outputs: module
    name -> indices of the dense module's outputs that stayed; all, where it is not named. Convolutions that run more
    than once, and grouped transposed ones, keep their weights. Every layer of either network runs once for every
    image. Both networks are in evaluation mode afterwards.
    `PlanError` when `kept_outputs` does not fit.
    """
    pruned.eval()
    inputs = inputs_from(images)
    names = _shrunken(dense, pruned, tuple(each[:1] for each in inputs))
    kept = {name: _kept(dense, pruned, name, kept_outputs) for name in names}
    return fit_layers(dense, pruned, {name: _Stayed(kept[name]) for name in names}, inputs, positions, seed)


@torch.no_grad()
def fit_layers(
    dense: nn.Module,
    small: nn.Module,
    targets: Mapping[str, Target],
    inputs: Sequence[torch.Tensor],
    positions: int = 20_000,
    seed: int = 0,
) -> tuple[Repair, ...]:
    """Fit convolutions of `small`, in place, to what the modules of the same names put out in `dense`.

    targets: name -> what to make of these outputs, in order of execution in `small`. inputs: a tensor (N, C, ...) for
    each input of the networks. Both are in evaluation mode afterwards.
    """
    dense.eval()
    small.eval()
    batches = list(zip(*(each.split(BATCH) for each in inputs), strict=True))
    rngs = {name: np.random.default_rng([seed, index]) for index, name in enumerate(targets)}
    samples: dict[str, list[_Sample]] = {name: [] for name in targets}

    def draw(name: str, outputs: torch.Tensor) -> None:
        wanted = targets[name](outputs)
        share = -(-positions * len(wanted) // len(inputs[0]))
        image, *spots = places = _draw(rngs[name], wanted, share)
        samples[name].append(_Sample(places, wanted[(image, slice(None), *spots)]))

    with _sampled(dense, draw, list(targets)):
        for batch in batches:
            dense(*batch)
    with arriving_at(small, list(targets), batches) as steps:
        return tuple(
            _repair(name, small.get_submodule(name), arriving, samples.pop(name))
            for name, arriving in zip(targets, steps, strict=True)
        )


@dataclass(frozen=True)
class _Stayed:
    """The outputs that a plan keeps."""

    channels: torch.Tensor

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs[:, self.channels]


def inputs_from(images: Images) -> Sequence[torch.Tensor]:
    """A tensor for each input of a network."""
    return (torch.from_numpy(with_channels(images)),) if isinstance(images, np.ndarray) else images


def kept_outputs(plan: PruningPlan) -> dict[str, list[int]]:
    """Module name -> the outputs of the dense module that a plan keeps, for `compensate`."""
    gone = removed(plan.channel_groups, plan.kept, roles=("filter",))
    sizes = {(m.tensor, m.dim): m.size for group in plan.channel_groups for m in group.members}
    return {
        site[0].rpartition(".")[0]: np.setdiff1d(np.arange(sizes[site]), indices).tolist()
        for site, indices in gone.items()
    }


def _shrunken(dense: nn.Module, pruned: nn.Module, image: tuple[torch.Tensor, ...]) -> list[str]:
    """Names of the convolutions that lost inputs and run exactly once, in order of execution."""
    called: list[str] = []
    lost = [
        (name, module)
        for name, module in pruned.named_modules()
        if is_matrix(module) and module.in_channels < _twin(dense, name, module).in_channels
    ]
    hooks = [module.register_forward_hook(lambda *_, name=name: called.append(name)) for name, module in lost]
    try:
        pruned(*image)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in called if called.count(name) == 1]


def _twin(dense: nn.Module, name: str, module: Any) -> Any:
    twin = dense.get_submodule(name)
    if type(twin) is not type(module):
        raise PlanError(
            f"{name} is a {type(module).__name__} in the pruned network and a {type(twin).__name__} in the dense one."
        )
    return twin


def _kept(dense: nn.Module, pruned: nn.Module, name: str, kept_outputs: Mapping[str, Sequence[int]]) -> torch.Tensor:
    source, target = (network.get_submodule(name).out_channels for network in (dense, pruned))
    kept = torch.tensor(kept_outputs.get(name, range(int(source))))  # pyright: ignore[reportArgumentType]
    if len(kept) != target:
        raise PlanError(f"{name} has {target} outputs, but {len(kept)} are said to have stayed.")
    return kept


@contextmanager
def _sampled(network: nn.Module, draw: Callable[[str, torch.Tensor], None], names: Sequence[str]) -> Iterator[None]:
    """`draw` sees what leaves each module, (N, channels, ...), while the network runs."""

    def leaving(name: str, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        draw(name, output)

    hooks = [network.get_submodule(name).register_forward_hook(partial(leaving, name)) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _draw(rng: np.random.Generator, outputs: torch.Tensor, count: int) -> torch.Tensor:
    """Random positions of outputs (N, channels, ...), each at most once: (1 + dimensions, count)."""
    shape = (outputs.shape[0], *outputs.shape[2:])
    total = int(np.prod(shape))
    return torch.from_numpy(np.stack(np.unravel_index(rng.choice(total, min(count, total), replace=False), shape)))


class _Equations:
    """Normal equations of the correction to weights (and bias), summed over batches, float64."""

    def __init__(self, unknowns: int, outputs: int) -> None:
        self.gram = torch.zeros(unknowns, unknowns, dtype=torch.float64)
        self.moment = torch.zeros(unknowns, outputs, dtype=torch.float64)
        self.error = self.energy = 0.0

    def add(self, seen: torch.Tensor, missing: torch.Tensor, wanted: torch.Tensor) -> None:
        """seen (P, unknowns), missing = wanted - what the old weights give, (P, outputs)."""
        self.gram.addmm_(seen.T, seen)
        self.moment.addmm_(seen.T, missing)
        self.error += float(missing.square().sum())
        self.energy += float(wanted.square().sum())

    def solve(self) -> torch.Tensor:
        """The correction (unknowns, outputs); nothing where the inputs are all zero."""
        pull = _RIDGE * float(self.gram.diagonal().mean())
        if pull == 0.0:
            return torch.zeros_like(self.moment)
        return torch.linalg.solve(self.gram + pull * torch.eye(len(self.gram), dtype=torch.float64), self.moment)

    def error_with(self, correction: torch.Tensor) -> float:
        """The squared error that would be left."""
        return self.error + float((correction * (self.gram @ correction - 2 * self.moment)).sum())


def _repair(name: str, module: Any, arriving: Sequence[torch.Tensor], samples: Sequence[_Sample]) -> Repair:
    """Fit one convolution, group by group."""
    before = after = energy = 0.0
    inputs, outputs = module.in_channels // module.groups, module.out_channels // module.groups
    for group in range(module.groups):
        ours, theirs = (slice(group * each, (group + 1) * each) for each in (inputs, outputs))
        weights = weights_of(module, group).double()
        bias = None if module.bias is None else module.bias[theirs]
        fit, held = (_Equations(weights.shape[1] + (bias is not None), outputs) for _ in range(2))
        for tensor, sample in zip(arriving, samples, strict=True):
            seen = patches_at(module, tensor[:, ours], sample.places).double()
            wanted = sample.wanted[:, theirs].double()
            missing = wanted - seen @ weights.T
            if bias is not None:
                missing -= bias.double()
                seen = torch.cat([seen, torch.ones(len(seen), 1, dtype=torch.float64)], dim=1)
            out = torch.arange(len(seen)) % _HELD_OUT == 0
            held.add(seen[out], missing[out], wanted[out])
            fit.add(seen[~out], missing[~out], wanted[~out])
        correction = fit.solve()
        left = held.error_with(correction)
        if left < held.error:
            add_to_weights(module, group, correction[: weights.shape[1]].T)
            if bias is not None:
                bias.add_(correction[-1].to(bias.dtype))
        before, after, energy = before + held.error, after + max(min(left, held.error), 0.0), energy + held.energy
    scale = max(energy, float(np.finfo(float).tiny))
    return Repair(name, before / scale, after / scale)
