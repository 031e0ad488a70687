"""Does the latency model predict networks that it has not seen?  python benchmarks/predicted_latency.py --help

For a U-Net with random weights: measure a few width settings, fit the model, let a random search pick
the setting whose PREDICTED latency is nearest to each target, then export and measure those.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from compress.bench.latency import LatencySamples, time_files
from compress.bench.layer_costs import LatencyModel, measure_latency_model, sample_widths
from compress.bench.stats import median
from compress.export.onnx import export_onnx
from compress.models.unet import UNet, dense_widths, initialise
from compress.runtime.machine import cpu_model
from compress.runtime.providers import find_provider

TARGETS = (0.5, 0.25, 0.1, 0.05)
CLASSES = 4
REACHED = 0.05
"""A setting whose predicted latency is this much (a share) off the target does not reach it."""
BELOW = 4
"""Half a block: the next layer then reads half as much."""
DRAWS = 40_000


def widths_of(features: Sequence[int], sizes: Iterable[int]) -> dict[str, list[int]]:
    """One width per convolution, flat, as `UNet` wants them."""
    left = iter(int(size) for size in sizes)
    return {block: [next(left) for _ in dense] for block, dense in dense_widths(features).items()}


def channels(depth: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sizes (networks, convolutions) -> input and output channels (networks, layers) in order of execution."""
    inputs, outputs = [], []
    column: Iterator[np.ndarray] = iter(sizes.T)
    skips: list[np.ndarray] = []
    last = np.ones(len(sizes), int)

    def add(read: np.ndarray, written: np.ndarray) -> np.ndarray:
        inputs.append(read)
        outputs.append(written)
        return written

    for _ in range(depth + 1):
        last = add(add(last, next(column)), next(column))
        skips.append(last)
    for level in reversed(range(depth)):
        last = add(skips[level] + add(last, next(column)), next(column))
        last = add(last, next(column))
    add(last, np.full(len(sizes), CLASSES))
    return np.stack(inputs, axis=1), np.stack(outputs, axis=1)


def export(features: Sequence[int], sizes: Iterable[int], path: Path) -> Path:
    """An ONNX file of the U-Net with these widths and random weights."""
    network = UNet(1, CLASSES, widths_of(features, sizes))
    initialise(network, seed=0)
    return export_onnx(network, path, divisor=network.divisor)


def draw(dense: np.ndarray, *, alignment: int, smallest: int, seed: int) -> np.ndarray:
    """Random aligned settings (DRAWS, convolutions): one share, tilted towards narrow or wide layers, and noise."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(np.log(0.02), 0, (DRAWS, 1))
    tilt = rng.uniform(-0.5, 0.5, (DRAWS, 1)) * np.log(dense / dense.max())
    noise = rng.normal(0, 0.4, (DRAWS, len(dense)))
    wanted = np.exp(np.minimum(share + tilt + noise, 0)) * dense
    aligned = np.maximum(np.round(wanted / alignment), 1) * alignment
    small = wanted < (smallest + alignment) / 2
    return np.minimum(np.where(small, smallest, aligned), dense).astype(int)


def choose(model: LatencyModel, settings: np.ndarray, depth: int) -> dict[float, np.ndarray]:
    """For each target the setting whose predicted latency is nearest to that share of the dense network's."""
    predicted = model.predict_widths(*channels(depth, settings))
    ratios = predicted / model.predict(model.layers)
    return {target: settings[np.argmin(np.abs(ratios / target - 1))] for target in TARGETS}


def compare(dense: Path, candidate: Path, *, size: int, threads: int, rounds: int) -> LatencySamples:
    """The dense network and a chosen one, timed in turn."""
    return time_files(
        {"dense": dense, "candidate": candidate}, shape=(1, 1, size, size), threads=threads, rounds=rounds
    )


def table(
    model: LatencyModel, chosen: Mapping[float, np.ndarray], measured: Mapping[float, LatencySamples], depth: int
) -> Iterator[str]:
    """A row per target, in milliseconds and shares of the dense network's latency."""
    dense = model.predict(model.layers)
    yield f"The dense network is predicted to take {dense * 1e3:.2f} ms."
    yield "| target | predicted ms | measured ms | dense ms | predicted | measured | error | A/A |"
    yield "|---|---|---|---|---|---|---|---|"
    for target, sizes in chosen.items():
        seconds, found = float(model.predict_widths(*channels(depth, sizes[None]))[0]), measured[target]
        ratio, share = seconds / dense, 1 / found.speedup("candidate").median
        missed = "" if abs(ratio / target - 1) <= REACHED else " (not reached: the nearest)"
        took, whole = (median(found.samples[name]) * 1e3 for name in ("candidate", "dense"))
        yield (
            f"| {target}x{missed} | {seconds * 1e3:.2f} | {took:.2f} | {whole:.2f} | {ratio:.4f}x | {share:.4f}x "
            f"| {ratio / share - 1:+.1%} | {found.control_ratio.median:.3f} |"
        )
    for target, found in measured.items():
        yield from (f"{target}x: {warning}" for warning in found.warnings)


def run(features: Sequence[int], *, size: int, threads: int, rounds: int, seed: int) -> Iterator[str]:
    """Sample, fit, choose, measure; yields lines to print."""
    dense = [width for block in dense_widths(features).values() for width in block]
    alignment, depth = find_provider("cpu").alignment, len(features)
    settings = sample_widths(dense, alignment=alignment, below=BELOW, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = [export(features, sizes, Path(folder, f"sample{i}.onnx")) for i, sizes in enumerate(settings)]
        model = measure_latency_model(paths, size=(size, size), threads=threads, rounds=rounds)
        errors = ", ".join(f"{sample.leave_one_out_error:+.1%}" for sample in model.samples)
        yield f"{len(settings)} samples; each predicted from the others: {errors}"
        drawn = draw(np.array(dense), alignment=alignment, below=BELOW, seed=seed + 1)
        unseen = drawn[~(drawn[:, None] == np.array(settings)).all(axis=2).any(axis=1)]
        chosen = choose(model, unseen, depth)
        files = {t: export(features, sizes, Path(folder, f"{t}.onnx")) for t, sizes in chosen.items()}
        measured = {
            t: compare(paths[0], path, size=size, threads=threads, rounds=2 * rounds) for t, path in files.items()
        }
    yield from table(model, chosen, measured, depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="32,64,128,256,256", help="widths of the dense network's encoders")
    parser.add_argument("--size", type=int, default=160, help="height and width in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40, help="per sample; the comparison takes twice as many")
    parser.add_argument("--seed", type=int, default=0)
    asked = vars(parser.parse_args())
    print(f"U-Net {asked['features']} at {asked['size']}x{asked['size']}, {asked['threads']} threads, {cpu_model()}")
    features = [int(width) for width in asked.pop("features").split(",")]
    for line in run(features, **asked):
        print(line)


if __name__ == "__main__":
    main()
