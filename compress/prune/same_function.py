"""Does a rebuilt network compute what the dense one computes when nobody listens to the removed channels?

Tracing sees tensors, not the forward code: `h * h.shape[1] ** -0.5`, or a branch on the number of channels, makes a
pruned network another function. One forward pass of each, in double precision, tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from compress.errors import PlanError
from compress.models.modules import copied, evaluating, named_tensors
from compress.prune.groups import removed
from compress.prune.plan import PruningPlan

TOLERANCE = 1e-5
"""Largest difference accepted, relative to the largest output. Right networks differ by 1e-12 in double precision."""
COARSE = 1e-3
"""The same where a network insists on its own precision."""
_SEED = 0
_CURE = "Some of its code depends on the number of channels; name those modules in `ignore`."

_FAULTS = (
    RuntimeError,
    ValueError,
    AssertionError,
    IndexError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
)
"""What the code of a network raises that meets other sizes than it was written for."""

Outputs = list[torch.Tensor]


@torch.no_grad()
def check_same_function(dense: nn.Module, smaller: nn.Module, plan: PruningPlan) -> None:
    """Raise `PlanError` unless `smaller` runs and computes what `plan` leaves of `dense`, on one random example."""
    if fault := Reference(dense, plan).fault(smaller, plan):
        raise PlanError(f"The pruned network {fault}.", cure=_CURE)


class Reference:
    """A dense network and what it computes on one random example when nobody listens to removed channels."""

    @torch.no_grad()
    def __init__(self, dense: nn.Module, plan: PruningPlan) -> None:
        """plan: any that holds the example's shapes. Raises `PlanError` when `dense` itself does not run on it."""
        self.inputs = list(zip(plan.inputs, plan.kinds, strict=True))
        try:
            self.dense, self.kind, self.tolerance = copied(dense).to(torch.float64), torch.float64, TOLERANCE
            self._run(self.dense)
        except Exception:  # whatever its code insists on: its own precision is the last try
            self.dense, self.kind, self.tolerance = copied(dense), None, COARSE
            self._try(self.dense)

    @torch.no_grad()
    def fault(self, smaller: nn.Module, plan: PruningPlan) -> str:
        """What is wrong with `smaller` as a network that lacks what `plan` removes, after "it ..."; "" if nothing."""
        running: list[str] = []
        smaller = copied(smaller) if self.kind is None else copied(smaller).to(self.kind)
        try:
            with _watched(smaller, running):
                made = self._run(smaller)
        except _FAULTS as fault:
            where = f" in {running[-1]}" if running and running[-1] else ""
            return f"does not run{where}: {_first_line(fault)}"
        difference = _difference(made, self._run(self._unheard(plan)))
        if difference <= self.tolerance:
            return ""
        return (
            f"computes something else than the dense one without the removed channels: its outputs differ by "
            f"{difference:.2g} of the largest"
        )

    def _unheard(self, plan: PruningPlan) -> nn.Module:
        network = copied(self.dense)
        tensors = named_tensors(network)
        for (name, dim), gone in removed(plan.channel_groups, plan.kept, roles=("consumer",)).items():
            tensors[name].index_fill_(dim, torch.from_numpy(gone).to(tensors[name].device), 0)
        return network

    def _try(self, network: nn.Module) -> None:
        try:
            self._run(network)
        except _FAULTS as fault:
            raise PlanError(
                f"{type(network).__name__} itself does not run on random inputs of the example's shapes: "
                f"{_first_line(fault)}.",
                cure="Give an example that the network can be called with.",
            ) from fault

    def _run(self, network: nn.Module) -> Outputs:
        """All tensors that a network returns for the example, in evaluation mode."""
        like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
        with torch.random.fork_rng(devices=[]), evaluating(network):
            torch.manual_seed(_SEED)
            made = network(*(_example(shape, name, like) for shape, name in self.inputs))
        return [leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")


def _example(shape: Sequence[int], name: str, like: torch.Tensor) -> torch.Tensor:
    """Noise where numbers are continuous; zeros where they count or index something."""
    kind = getattr(torch, name)
    if kind.is_floating_point:
        return torch.randn(tuple(shape), dtype=like.dtype, device=like.device)
    return torch.zeros(tuple(shape), dtype=kind, device=like.device)


def _difference(mine: Outputs, expected: Outputs) -> float:
    if [tuple(x.shape) for x in mine] != [tuple(x.shape) for x in expected]:
        return float("inf")
    largest = max((float(x.abs().max()) for x in expected if x.numel()), default=0.0)
    gaps = [_gap(x, y) for x, y in zip(mine, expected, strict=True) if x.numel()]
    return max(gaps, default=0.0) / max(1.0, largest)


def _gap(mine: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference; equal infinities and NaN in the same place are none, any other NaN is infinite."""
    same = mine.eq(expected) | (mine.isnan() & expected.isnan())
    gap = (mine.double() - expected.double()).abs().masked_fill(same, 0)
    return float(torch.nan_to_num(gap, nan=float("inf"), posinf=float("inf")).max())


@contextmanager
def _watched(network: nn.Module, running: list[str]) -> Iterator[None]:
    """`running` holds the names of the modules whose forward has begun and not ended, the innermost last."""

    def begins(name: str, *_: object) -> None:
        running.append(name)

    def ends(*_: object) -> None:
        running.pop()

    modules = list(network.named_modules())
    handles = [module.register_forward_pre_hook(partial(begins, name)) for name, module in modules]
    handles += [module.register_forward_hook(ends) for _, module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
