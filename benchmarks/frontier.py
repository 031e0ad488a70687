"""The frontier of Dice against CPU latency from a finished run folder.

    python benchmarks/frontier.py RUN --out table.md --picture frontier.png

Every pruned network whose folder is called <budget>_<arm> (b25_compensated, b25_random, b25_scratch, ...) is a
point; networks of one budget have the same widths. Dense and one network per budget are exported and
timed interleaved in one run; Dice is the run's own, in 3D on the validation patients.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compress.bench.latency import LatencySamples, time_files
from compress.bench.stats import median
from compress.export.onnx import export_onnx
from compress.files import read_json
from compress.models.checkpoint import Checkpoint, load
from compress.models.cost import count_macs, count_parameters
from compress.report.style import INK, MARKERS, SERIES_COLOURS, picture

SIZE = (160, 160)
NAMES = {
    "compensated": "L1 and least-squares compensation",
    "plain": "L1",
    "randomcompensated": "random channels and compensation",
    "random": "random channels",
    "scratch": "the same network from scratch",
}
"""Arm in a folder's name -> what it is, in the order of the table."""


@dataclass(frozen=True)
class Point:
    """One retrained network."""

    budget: str
    arm: str
    dice: float
    epochs: int
    checkpoint: Checkpoint


def points(run: Path) -> list[Point]:
    """Every finished network with a name of the form <budget>_<arm>."""
    found = []
    for folder in sorted((run / "pruned").iterdir()):
        budget, _, arm = folder.name.partition("_")
        if arm and (folder / "eval" / "metrics.json").is_file():
            checkpoint = load(folder / "pruned_model.safetensors")
            dice = read_json(folder / "eval" / "metrics.json")["mean_dice"]
            found.append(Point(budget, arm, dice, checkpoint.meta.epoch, checkpoint))
    return found


def timed(dense: Checkpoint, networks: dict[str, Checkpoint], rounds: int) -> LatencySamples:
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: export_onnx(checkpoint.network, Path(folder) / f"{name}.onnx", divisor=checkpoint.network.divisor)
            for name, checkpoint in {"dense": dense, **networks}.items()
        }
        return time_files(paths, shape=(1, 1, *SIZE), rounds=rounds)


def table(dense: Checkpoint, dense_dice: float, found: list[Point], latency: LatencySamples) -> str:
    arms = sorted({p.arm for p in found}, key=list(NAMES).index)
    seconds = median(latency.samples["dense"])
    lines = [
        f"| network | latency | of dense | parameters | MACs | {' | '.join(f'Dice {a}' for a in arms)} |",
        "|---" * (5 + len(arms)) + "|",
        f"| dense ({dense.meta.epoch} epochs) | {1e3 * seconds:.2f} ms | 1 | {_size(dense)} | "
        f"{dense_dice:.4f}{' |' * len(arms)}",
    ]
    for budget in sorted(latency.samples.keys() - {"dense"}, key=lambda b: -median(latency.samples[b])):
        mine = {p.arm: p for p in found if p.budget == budget}
        share = latency.speedup(budget)
        cells = [f"{mine[a].dice:.4f} ({mine[a].epochs} ep.)" if a in mine else "-" for a in arms]
        one = next(iter(mine.values())).checkpoint
        lines.append(
            f"| {budget} | {1e3 * median(latency.samples[budget]):.2f} ms | {1 / share.median:.3f} "
            f"({1 / share.high:.3f}-{1 / share.low:.3f}) | {_size(one)} | {' | '.join(cells)} |"
        )
    control = latency.control_ratio
    return "\n".join([*lines, "", f"A/A control {control.median:.3f} ({control.low:.3f}-{control.high:.3f})."])


def _size(checkpoint: Checkpoint) -> str:
    return (
        f"{count_parameters(checkpoint.network) / 1e6:.3f} M | {count_macs(checkpoint.network, size=SIZE) / 1e9:.3f} G"
    )


def draw(path: Path, dense_dice: float, found: list[Point], latency: LatencySamples) -> None:
    with picture(path, "Real ACDC: Dice against latency, one seed", size=(6.4, 4.4)) as figure:
        axes = figure.subplots()
        for index, arm in enumerate(sorted({p.arm for p in found}, key=list(NAMES).index)):
            mine = [(1 / latency.speedup(p.budget).median, p.dice) for p in found if p.arm == arm]
            xs, ys = zip(*sorted(mine), strict=True)
            axes.plot(xs, ys, MARKERS[index] + "-", color=SERIES_COLOURS[index], label=NAMES[arm])
        axes.axhline(dense_dice, color=INK, linestyle=":", label=f"dense ({dense_dice:.4f})")
        axes.set_xscale("log")
        ticks = sorted({round(1 / latency.speedup(p.budget).median, 2) for p in found})
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel("CPU latency, share of the dense network's")
        axes.set_ylabel("3D Dice, 20 validation patients")
        axes.legend(loc="lower right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    dense = load(arguments.run / "baseline" / "final_model.safetensors")
    dense_dice = read_json(arguments.run / "baseline" / "eval" / "metrics.json")["mean_dice"]
    found = points(arguments.run)
    latency = timed(dense, {p.budget: p.checkpoint for p in found}, arguments.rounds)
    text = table(dense, dense_dice, found, latency)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    if arguments.picture:
        draw(arguments.picture, dense_dice, found, latency)


if __name__ == "__main__":
    main()
