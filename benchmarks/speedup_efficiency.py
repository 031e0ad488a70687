"""How much of the removed work is really saved: latency speed-up over MAC reduction, on the CPU.

    pip install --no-deps torch-pruning==1.6.1
    python benchmarks/speedup_efficiency.py --out table.md

One U-Net with random weights is pruned at uniform ratios three ways: this engine aligned to the CPU's
vector width, this engine without alignment, and Torch-Pruning with its defaults. Dense and pruned ONNX
files of one ratio are timed interleaved in one run. 1.0 means that every removed operation was saved.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from compress.bench.latency import LatencySamples, time_files
from compress.bench.model_facts import read_facts
from compress.bench.stats import median
from compress.export.onnx import export_onnx
from compress.models.unet import UNet, dense_widths, initialise
from compress.prune import find_groups, rank, rebuild
from compress.runtime.machine import cpu_model

RATIOS = (0.25, 0.5, 0.6, 0.75)
GOAL = 0.85
CLASSES = 4
Pruner = Callable[[nn.Module, torch.Tensor, float], nn.Module]


def pruners(network: nn.Module, example: torch.Tensor) -> dict[str, Pruner]:
    """Column name -> how to make the smaller network."""
    groups = find_groups(network, example)
    table: dict[str, Pruner] = {
        "aligned": lambda n, x, r: rebuild(n, rank(n, x, ratio=r, align="cpu", groups=groups)),
        "align none": lambda n, x, r: rebuild(n, rank(n, x, ratio=r, align="none", groups=groups)),
    }
    if find_spec("torch_pruning"):
        table["Torch-Pruning"] = torch_pruning
    return table


def torch_pruning(network: nn.Module, example: torch.Tensor, ratio: float) -> nn.Module:
    """Torch-Pruning 1.6.1 as its readme shows it: L1 magnitude, the output layer left alone."""
    import copy

    import torch_pruning as tp

    smaller = copy.deepcopy(network)
    pruner = tp.pruner.MetaPruner(
        smaller, example, importance=tp.importance.MagnitudeImportance(p=1), pruning_ratio=ratio,
        ignored_layers=[smaller.head],
    )  # fmt: skip
    pruner.step()
    return smaller


def row(name: str, ratio: float, latency: LatencySamples, macs: dict[str, int], threads: int | None) -> str:
    speed = latency.speedup(name)
    saved = macs["dense"] / macs[name]
    dense, small = (1e3 * median(latency.samples[n]) for n in ("dense", name))
    verdict = "" if name != "aligned" else ("yes" if speed.median / saved >= GOAL else "NO")
    return (
        f"| {ratio} | {name} | {saved:.2f}x | {speed.median:.2f}x ({speed.low:.2f}-{speed.high:.2f}) "
        f"| {speed.median / saved:.2f} | {verdict} | {dense:.1f} -> {small:.1f} ms |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default="64,128,256,512,512", help="dense widths per encoder")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--threads", type=int, help="default: every core that the process may use")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--ratios", default=",".join(map(str, RATIOS)))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # Torch-Pruning and the exporter warn about each other's habits
    features = [int(f) for f in arguments.features.split(",")]
    network = UNet(1, CLASSES, dense_widths(features))
    initialise(network, seed=0)
    network.eval()
    lines = [
        "| ratio | tool | MACs | latency | efficiency | >= 0.85 | medians |",
        "|---|---|---|---|---|---|---|",
    ]
    example = torch.zeros(1, 1, arguments.size, arguments.size)
    makers = pruners(network, example)
    for ratio in map(float, arguments.ratios.split(",")):
        lines += measure(network, example, makers, ratio, arguments)
        print("\n".join(lines[-len(makers) :]), flush=True)
    text = "\n".join(lines)
    note = f"Widths {arguments.features}, {arguments.size}x{arguments.size}, batch 1, {cpu_model()}."
    print(f"\n{text}\n\n{note}")
    if arguments.out:
        arguments.out.write_text(f"{text}\n\n{note}\n")


def measure(
    network: UNet, example: torch.Tensor, makers: dict[str, Pruner], ratio: float, arguments: argparse.Namespace
) -> list[str]:
    """The rows of one ratio."""
    shape = (1, 1, arguments.size, arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        built = {"dense": network, **{name: make(network, example, ratio) for name, make in makers.items()}}
        paths = {n: export_onnx(m, Path(folder) / f"{n}.onnx", divisor=network.divisor) for n, m in built.items()}
        macs = {name: read_facts(path, shape=shape).macs for name, path in paths.items()}
        latency = time_files(paths, shape=shape, threads=arguments.threads, rounds=arguments.rounds)
    control = latency.control_ratio
    print(f"ratio {ratio}: A/A control {control.median:.3f} ({control.low:.3f}-{control.high:.3f})", flush=True)
    return [row(name, ratio, latency, macs, arguments.threads) for name in makers]


if __name__ == "__main__":
    main()
