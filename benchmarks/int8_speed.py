"""INT8 against float32 of the same networks, step by step: what each change of the quantizer is worth here.

    python benchmarks/int8_speed.py [--widths 32,64,128,256,256 ...] [--rounds 40] [--threads 1]

U-Nets with random weights, 160 x 160 pixels, ranges of noise: speed alone, no Dice. Every row is timed in turn with the
float file, by the processor time of the process, which other programs hardly change; the wall's time stands beside it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from compress.bench.environment import current_environment
from compress.bench.latency import LatencySamples, time_files
from compress.bench.precision import measure_precisions
from compress.bench.stats import median, paired_ratio
from compress.export.onnx import export_onnx
from compress.export.quantize import calibrate, prepare_int8, quantize_int8
from compress.models.unet import UNet, dense_widths, initialise
from compress.text import interval, markdown_table

SIDE = 160
BEFORE = ("Conv", "MaxPool", "Concat")
"""What was quantized up to version 0.5."""
WIDTHS = ("32,64,128,256,256", "16,32,64,128,128", "8,16,32,64,64")


def variants(floats: Path, folder: Path, *, threads: int, rounds: int) -> dict[str, Path]:
    """The float file and its INT8 files, each with one change more than the one before."""
    images = np.random.default_rng(0).standard_normal((2, 1, SIDE, SIDE)).astype(np.float32)

    def ranges(name: str, *, spread: bool):
        (place := folder / name).mkdir()
        prepared = prepare_int8(floats, place / "prepared.onnx", spread=spread)
        return calibrate(prepared, images, method="minmax", folder=place)

    plain, spread = ranges("plain", spread=False), ranges("spread", spread=True)
    whole = quantize_int8(spread, folder / "whole.onnx")
    times = measure_precisions(floats, whole, size=(SIDE, SIDE), threads=threads, rounds=rounds)
    slower = times.slower()
    files = {
        "float32": floats,
        "INT8 as up to 0.5": quantize_int8(plain, folder / "before.onnx", operators=BEFORE),
        "and no conversion before a Relu": quantize_int8(plain, folder / "relu.onnx"),
        "and transposed convolutions": whole,
    }
    if slower:
        files[f"and {len(slower)} slower layers in float"] = quantize_int8(
            spread, folder / "mixed.onnx", keep_float=slower
        )
    return files


def rows(found: LatencySamples, widths: str) -> list[list[str]]:
    """One row per file; ratios of processor times."""
    base, table = found.cpu[found.baseline], []
    for name, cpu in found.cpu.items():
        ratio = paired_ratio(base, found.cpu_control if name == found.baseline else cpu)
        times = [f"{1e3 * median(series):.2f}" for series in (cpu, found.samples[name])]
        label = f"{name} (A/A)" if name == found.baseline else name
        table.append([widths, label, *times, interval(ratio.median, ratio.low, ratio.high)])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", nargs="+", default=WIDTHS, help="Widths of the encoders, by commas.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    table: list[list[str]] = []
    loads = []
    for widths in given.widths:
        with tempfile.TemporaryDirectory() as scrap:
            folder = Path(scrap)
            network = UNet(1, 4, dense_widths([int(width) for width in widths.split(",")]))
            initialise(network, seed=0)
            floats = export_onnx(network, folder / "float.onnx", divisor=network.divisor)
            files = variants(floats, folder, threads=given.threads, rounds=given.rounds)
            shape = (1, 1, SIDE, SIDE)
            found = time_files(files, shape=shape, threads=given.threads, rounds=given.rounds)
            table += rows(found, widths.replace(",", "/"))
            loads.append(found.load)
    heads = ["widths", "file", "processor time (ms)", "wall (ms)", "times as fast (95% interval)"]
    machine = current_environment()
    print(markdown_table(heads, table))
    print(
        f"\n{machine.cpu}, {', '.join(machine.cpu_features or ())}; {given.threads} thread(s), {given.rounds} rounds, "
        f"load before timing {', '.join(f'{load:.1f}' for load in loads if load is not None)}; "
        f"ONNX Runtime {machine.onnxruntime}."
    )


if __name__ == "__main__":
    main()
