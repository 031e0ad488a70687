"""One training by many processes, as torchrun starts them: the global batch is what one process alone would see.

Process 0 runs the command, writes and prints; the others `serve` it: they do nothing but their share of the steps and
of the validation. So the data and the run folder need to be reachable for process 0 alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from compress.errors import EnvironmentFault

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""The others wait while process 0 reads data or evaluates; one that has died is noticed at once all the same."""
_PIECE = 2**27
"""Bytes of an array that are sent at a time."""


@dataclass(frozen=True)
class Group:
    """The processes that train together."""

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part; the parts of all are the whole, in order, as even as can be."""
        start, stop = self._bounds(len(items))[self.rank]
        return items[start:stop]

    def whole(self, mine: torch.Tensor, count: int) -> torch.Tensor:
        """The parts of all processes along the first dimension, `count` in all; gradients flow to one's own part.

        They arrive multiplied by the number of processes, because DistributedDataParallel divides by it.
        """
        return mine if self.size == 1 else _Whole.apply(mine, self._bounds(count), self.rank)  # pyright: ignore

    def total(self, mine: int) -> int:
        """The sum over all processes."""
        count = torch.tensor(mine)
        dist.all_reduce(count)
        return int(count)

    def any(self, mine: bool) -> bool:
        """Whether any process says yes."""
        if self.size == 1:
            return mine
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def join(self, mine: Sequence[T]) -> list[T]:
        """What `share` has taken apart."""
        if self.size == 1:
            return list(mine)
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, list(mine))
        return [each for part in parts for each in part]

    def parallel(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network as all processes train it together; its own tensors change with every step."""
        if self.size == 1:
            return network
        share_statistics(network, device)
        where = [device.index or 0] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=where)

    def _bounds(self, count: int) -> list[tuple[int, int]]:
        edges = [count * rank // self.size for rank in range(self.size + 1)]
        return list(pairwise(edges))


ALONE = Group()


def started_by_torchrun() -> bool:
    """Whether this is one of several processes of torchrun, or its only one."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ)


def current() -> Group:
    """The group of this process, once it has joined one."""
    return Group(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE


@contextmanager
def joined() -> Iterator[Group]:
    """Meet the other processes: gloo between CPUs, nccl between GPUs. Raises `EnvironmentFault` where none are met."""
    kinds = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(kinds, timeout=_PATIENCE)
    except (ValueError, RuntimeError, OSError) as fault:  # what RANK and the others say is wrong, or nobody answers
        told = f"The processes of torchrun do not meet: {' '.join(str(fault).split())[:200]}."
        raise EnvironmentFault(told, cure="Start all of them by torchrun.") from fault
    try:
        yield current()
    finally:
        dist.destroy_process_group()


def tell(order: Any) -> None:
    """Hand a value to all other processes; they get it from `hear`."""
    dist.broadcast_object_list([order], src=0)


def hear() -> Any:
    """The next value that process 0 tells."""
    told: list[Any] = [None]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def tell_array(array: np.ndarray) -> None:
    """Hand over an array of any size; `hear_array` gets it."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    tell((array.shape, array.dtype.str))
    for first in range(0, len(flat), _PIECE):
        dist.broadcast(torch.from_numpy(flat[first : first + _PIECE].copy()), src=0)


def hear_array() -> np.ndarray:
    """The array that process 0 tells."""
    shape, kind = hear()
    array = np.empty(shape, np.dtype(kind))
    flat = array.reshape(-1).view(np.uint8)
    for first in range(0, len(flat), _PIECE):
        dist.broadcast(torch.from_numpy(flat[first : first + _PIECE]), src=0)
    return array


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mine: torch.Tensor, bounds: list[tuple[int, int]], rank: int) -> torch.Tensor:
        ctx.mine, ctx.size = bounds[rank], len(bounds)
        counts = [stop - start for start, stop in bounds]
        padded = mine.new_zeros(max(counts), *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore
        start, stop = ctx.mine
        return gradient[start:stop] * ctx.size, None, None


class _Sum(torch.autograd.Function):
    """Each process's value is in the sum of all, so the gradients of all sums are in each value's."""

    @staticmethod
    def forward(ctx: Any, mine: torch.Tensor) -> torch.Tensor:
        total = mine.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # pyright: ignore
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def _sum(mine: torch.Tensor) -> torch.Tensor:
    return _Sum.apply(mine)  # pyright: ignore


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over the images of all processes, on any device; torch's SyncBatchNorm knows GPUs alone."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.track_running_stats:
            return super().forward(input)
        wide = input.float()
        count = torch.tensor(float(wide.numel() // wide.shape[1]))
        dist.all_reduce(count)
        mean = _sum(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _sum((centred * centred).sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            scaled = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def share_statistics(network: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm see the images of all processes; names and values of parameters stay."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
