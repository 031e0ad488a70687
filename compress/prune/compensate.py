"""Least-squares compensation: what remains of a convolution's inputs learns to do the work of all.

He 2017 (arXiv:1707.06168): after channels were removed, each convolution that lost inputs is fitted again
to the outputs that it had in the dense network. Its inputs are the pruned network's own, so that it
also makes up for what earlier layers lost. No labels and no gradients are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from compress.errors import PlanError

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


@torch.no_grad()
def compensate(
    dense: nn.Module,
    pruned: nn.Module,
    kept_outputs: Mapping[str, Sequence[int]],
    images: np.ndarray,
    *,
    positions: int = 20_000,
    seed: int,
) -> tuple[Repair, ...]:
    """Fit every Conv2d of `pruned` that lost inputs to its outputs in `dense`, in place, in order of execution.

    images: (N, H, W) float32. kept_outputs: module name -> indices of the dense module's outputs that
    stayed; all, where it is not named. Transposed, grouped and reused convolutions keep their weights.
    Both networks are in evaluation mode afterwards. `PlanError` when `kept_outputs` does not fit.
    """
    dense.eval()
    pruned.eval()
    batches = torch.from_numpy(images)[:, None].split(BATCH)
    repairs = []
    for index, name in enumerate(_shrunken(dense, pruned, batches[0][:1])):
        source, target = _convolution(dense, name), _convolution(pruned, name)
        kept = torch.tensor(kept_outputs.get(name, range(source.out_channels)))
        if len(kept) != target.out_channels:
            raise PlanError(f"{name} has {target.out_channels} outputs, but {len(kept)} are said to have stayed.")
        rng = np.random.default_rng([seed, index])
        fit, held = _Equations(target), _Equations(target)
        for batch in batches:
            arriving = _tensor_at(pruned, name, batch, outputs=False)
            wanted = _tensor_at(dense, name, batch, outputs=True)[:, kept]
            share = -(-positions * len(batch) // len(images))
            _add(fit, held, target, arriving, wanted, _draw(rng, wanted, share))
        repairs.append(_repair(name, target, fit, held))
    return tuple(repairs)


def _shrunken(dense: nn.Module, pruned: nn.Module, image: torch.Tensor) -> list[str]:
    """Names of the convolutions that lost inputs and run exactly once, in order of execution."""
    called: list[str] = []
    lost = [
        (name, module)
        for name, module in pruned.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1
        if module.in_channels < _convolution(dense, name).in_channels
    ]
    hooks = [module.register_forward_hook(lambda *_, name=name: called.append(name)) for name, module in lost]
    try:
        pruned(image)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in called if called.count(name) == 1]


def _convolution(network: nn.Module, name: str) -> nn.Conv2d:
    module = network.get_submodule(name)
    if not isinstance(module, nn.Conv2d):
        raise PlanError(f"{name} is a Conv2d in the pruned network and a {type(module).__name__} in the dense one.")
    return module


class _Reached(Exception):
    """Carries a tensor out of a network whose remaining layers need not run."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self.tensor = tensor


def _tensor_at(network: nn.Module, name: str, images: torch.Tensor, *, outputs: bool) -> torch.Tensor:
    """What arrives at (or leaves) one module, (N, channels, H, W)."""

    def stop(_module: nn.Module, inputs: tuple[torch.Tensor, ...], *output: torch.Tensor) -> None:
        raise _Reached(output[0] if outputs else inputs[0])

    module = network.get_submodule(name)
    hook = module.register_forward_hook(stop) if outputs else module.register_forward_pre_hook(stop)
    try:
        network(images)
    except _Reached as reached:
        return reached.tensor
    finally:
        hook.remove()
    raise PlanError(f"{name} does not run in this network.")


def _draw(rng: np.random.Generator, outputs: torch.Tensor, count: int) -> torch.Tensor:
    """Random positions (image, row, column) of outputs (N, channels, H, W), each at most once: (3, count)."""
    shape = (outputs.shape[0], *outputs.shape[2:])
    total = int(np.prod(shape))
    return torch.from_numpy(np.stack(np.unravel_index(rng.choice(total, min(count, total), replace=False), shape)))


def patches_at(module: nn.Conv2d, arriving: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """What a convolution sees of its input at output positions (3, P): (P, inputs x kernel), as its weights lie."""
    padded = pad(arriving, _padding(module), mode=module.padding_mode.replace("zeros", "constant"))
    image, row, column = places
    (height, width), (down, right) = module.kernel_size, module.dilation
    top, left = row * module.stride[0], column * module.stride[1]
    seen = [padded[image, :, top + i * down, left + j * right] for i in range(height) for j in range(width)]
    return torch.stack(seen, dim=2).flatten(1)


def _padding(module: nn.Conv2d) -> list[int]:
    """Left, right, top, bottom."""
    if module.padding == "valid":
        return [0, 0, 0, 0]
    if module.padding == "same":  # an odd pixel goes to the right and the bottom, as torch does it
        both = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [both[1] // 2, both[1] - both[1] // 2, both[0] // 2, both[0] - both[0] // 2]
    rows, columns = int(module.padding[0]), int(module.padding[1])
    return [columns, columns, rows, rows]


class _Equations:
    """Normal equations of the correction to a convolution's weights (and bias), summed over batches, float64."""

    def __init__(self, module: nn.Conv2d) -> None:
        unknowns = module.weight[0].numel() + (module.bias is not None)
        self.gram = torch.zeros(unknowns, unknowns, dtype=torch.float64)
        self.moment = torch.zeros(unknowns, module.out_channels, dtype=torch.float64)
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


def _add(
    fit: _Equations,
    held: _Equations,
    module: nn.Conv2d,
    arriving: torch.Tensor,
    wanted: torch.Tensor,
    places: torch.Tensor,
) -> None:
    image, row, column = places
    seen, wanted = patches_at(module, arriving, places).double(), wanted[image, :, row, column].double()
    missing = wanted - seen @ module.weight.flatten(1).double().T
    if module.bias is not None:
        missing -= module.bias.double()
        seen = torch.cat([seen, torch.ones(len(seen), 1, dtype=torch.float64)], dim=1)
    out = torch.arange(len(seen)) % _HELD_OUT == 0
    held.add(seen[out], missing[out], wanted[out])
    fit.add(seen[~out], missing[~out], wanted[~out])


def _repair(name: str, module: nn.Conv2d, fit: _Equations, held: _Equations) -> Repair:
    correction = fit.solve()
    before, after = held.error, held.error_with(correction)
    if after < before:
        inputs = module.weight[0].numel()
        module.weight.add_(correction[:inputs].T.reshape(module.weight.shape).to(module.weight.dtype))
        if module.bias is not None:
            module.bias.add_(correction[inputs].to(module.bias.dtype))
    scale = max(held.energy, float(np.finfo(float).tiny))
    return Repair(name, before / scale, max(min(after, before), 0.0) / scale)
