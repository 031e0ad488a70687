"""CPU seconds and memory of ranking, planning, rebuilding and compensating a wide U-Net. No data: noise costs the same.

python benchmarks/compensate_cost.py --features 64 128 256 512 512
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from compress.models.unet import UNet, dense_widths, initialise
from compress.prune import PruningPlan, rank, rebuild
from compress.prune.budget import allocate, allowed_counts
from compress.prune.compensate import compensate, kept_outputs
from compress.prune.ranking import grid_of
from compress.prune.shapes import Shapes
from compress.runtime.machine import cpu_model

T = TypeVar("T")


def timed(name: str, do: Callable[[], T]) -> T:
    """Do it, and print what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = do()
    seconds = f"{time.process_time() - cpu:.1f} s CPU, {time.perf_counter() - wall:.1f} s wall"
    print(f"{name}: {seconds}; peak so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return found


def searched(network: UNet, example: torch.Tensor, plan: PruningPlan, target: float) -> dict[str, int]:
    """The widths that `plan` would choose, every group losing the same Dice with its channels."""
    shapes, groups = Shapes(network, example, plan.channel_groups), plan.channel_groups
    choices = {group.name: allowed_counts(group, grid=grid_of(8)) for group in groups}
    damage = {g.name: {count: 1 - count / g.width for count in choices[g.name]} for g in groups}
    dense = shapes.macs({})
    return allocate(choices, lambda kept: shapes.macs(kept) / dense, damage=damage, target=target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[64, 128, 256, 512, 512])
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--target", type=float, default=0.25, help="share of the MACs that plan's search shall reach")
    chosen = parser.parse_args()
    network = UNet(1, 4, dense_widths(chosen.features))
    initialise(network, seed=0)
    example = torch.zeros(1, 1, chosen.size, chosen.size)
    images = np.random.default_rng(0).standard_normal((chosen.slices, chosen.size, chosen.size)).astype(np.float32)
    print(f"{cpu_model()}, {torch.get_num_threads()} threads; seed 0")
    whole = timed("rank, nothing removed", lambda: rank(network.eval(), example, ratio=0.0, align=16))
    timed(f"plan's search for {chosen.target} of the MACs", lambda: searched(network, example, whole, chosen.target))
    plan = timed("rank", lambda: rank(network.eval(), example, ratio=chosen.ratio, align=16))
    small = timed("rebuild", lambda: rebuild(network, plan))
    repairs = timed("compensate", lambda: compensate(network, small, kept_outputs(plan), images, seed=0))
    print(f"{len(repairs)} convolutions fitted, {chosen.slices} slices of {chosen.size} pixels")


if __name__ == "__main__":
    main()
