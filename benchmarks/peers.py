"""The shipped files beside their peers: plain torch, ONNX Runtime, OpenVINO and Torch-Pruning's networks.

    pip install --no-deps torch-pruning==1.6.1
    python benchmarks/peers.py --checkpoint dense.safetensors dense=dense.onnx pruned=pruned.onnx \\
        "pruned INT8=pruned.int8.onnx" --like pruned --threads 2 --out peers.md

The first file is the dense network of the checkpoint; `--like` names the file whose widths Torch-Pruning is to reach
(MagnitudePruner, the same ratio in every layer, without `round_to` and with 8 and 16). Every row is a process of its
own that lives for the whole measurement, with the same number of threads, none of which spins while another process is
timed. Rounds are interleaved, every other one in reverse order; a ratio is the median over rounds of (plain torch /
row) with its 95% bootstrap interval, and plain torch runs twice in every round: the A/A control. `--openvino-python` is
an interpreter with the packages `openvino` or `onnxruntime-ep-openvino`; without them the rows say so. Networks are
only timed here: what they are worth is in RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench.latency import LatencySamples, measure_latency
from compress.bench.stats import median
from compress.evaluate.interval import Interval
from compress.runtime.machine import available_cores, cpu_model

HERE = Path(__file__).resolve().parent
MIB = 2**20
OPENVINO = ("ONNX Runtime with OpenVINO", "OpenVINO")
ROUNDINGS = (None, 8, 16)
SAME = 1e-3
"""How far the mean absolute logit of the dense network may differ between engines, relative to torch's."""


@dataclass(frozen=True)
class Row:
    """One engine with one file."""

    network: str
    engine: str
    file: Path
    python: str = sys.executable

    @property
    def name(self) -> str:
        return f"{self.network}, {self.engine}"


class Worker:
    """The process of one row. Its own clock counts, so that talking to it costs nothing."""

    def __init__(self, row: Row, clock: Clock, shape: Sequence[int], threads: int) -> None:
        words = [row.python, str(HERE / "peers_worker.py"), row.engine, str(row.file.resolve()), str(threads)]
        self.clock, self.peak_bytes = clock, None
        self.process = subprocess.Popen(
            [*words, *map(str, shape)], env=environment(threads), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.first: dict[str, Any] = {}
        self.row = row

    def begin(self) -> Worker:
        """Wait until the engine has run once, or has said why it is not here."""
        self.first = self._answer(self.row.name)
        return self

    def run(self, images: np.ndarray, /) -> np.ndarray:
        assert self.process.stdin
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.clock.now += self._answer("a run")
        return images

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        last = self.process.stdout.read()
        self.peak_bytes = json.loads(last)["peak_bytes"] if last else None
        with self.process:  # waits, and closes what is open
            pass

    def _answer(self, what: str) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"The process of {what} ended with {self.process.wait()}.")
        return json.loads(line)


@dataclass
class Clock:
    """Seconds that the workers have reported."""

    now: float = 0.0


def environment(threads: int) -> dict[str, str]:
    """One thread count for every library, none of which waits actively."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    idle = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0", "ORT_DISABLE_TELEMETRY": "1"}
    return {**os.environ, **counts, **idle, "PYTHONPATH": os.pathsep.join(paths)}


def rows_of(asked: argparse.Namespace, files: Mapping[str, Path], theirs: Mapping[str, Path]) -> list[Row]:
    """Plain torch first; then every file with every engine."""
    dense = next(iter(files))
    engines = ["torch", "torch, channels_last", *["torch.compile"] * asked.compile]
    found = [Row(dense, engine, asked.checkpoint) for engine in engines]
    for name, file in files.items():
        found.append(Row(name, "ONNX Runtime", file))
        found += [Row(name, engine, file, asked.openvino_python) for engine in OPENVINO]
    return found + [Row(name, "ONNX Runtime", file) for name, file in theirs.items()]


def measure(rows: Sequence[Row], *, shape: Sequence[int], threads: int, rounds: int, warmup: int) -> Measured:
    """Time every row whose engine is there; the first is the baseline."""
    clock, workers = Clock(), {}
    with ExitStack() as stack:
        for row in rows:
            workers[row] = Worker(row, clock, shape, threads)
            stack.callback(workers[row].close)
            workers[row].begin()
        here = {row.name: worker for row, worker in workers.items() if "ready" in worker.first}
        check_same(rows, workers)
        latency = measure_latency(here, shape=tuple(shape), rounds=rounds, warmup=warmup, clock=lambda: clock.now)
    absent = {row.name: worker.first["absent"] for row, worker in workers.items() if "absent" in worker.first}
    return Measured(latency, absent, {row.name: worker.peak_bytes for row, worker in workers.items()})


@dataclass(frozen=True)
class Measured:
    """What came out."""

    latency: LatencySamples
    absent: Mapping[str, str]
    peaks: Mapping[str, int | None]


def check_same(rows: Sequence[Row], workers: Mapping[Row, Worker]) -> None:
    """All engines must compute the first row's network, or their times say nothing about each other."""
    wanted = workers[rows[0]].first["ready"]
    for row in rows:
        got = workers[row].first.get("ready", wanted)
        if row.network == rows[0].network and abs(got - wanted) > SAME * abs(wanted):
            sys.exit(f"{row.name} computes another network: mean |logit| {got:g}, torch has {wanted:g}.")


def torch_pruned(checkpoint: Path, like: Path, dense: Path, folder: Path, size: int) -> dict[str, Path]:
    """Torch-Pruning's networks, exported: the ratio of every layer is that of `like` against `dense`."""
    import torch
    import torch_pruning as tp  # pyright: ignore[reportMissingImports] (installed for this script alone)

    from compress.bench.model_facts import read_facts
    from compress.export.onnx import export_onnx
    from compress.models.checkpoint import load

    shape, made = (1, 1, size, size), {}
    widths = [read_facts(path, shape=shape).widths for path in (dense, like)]
    for rounding in ROUNDINGS:
        network: Any = load(checkpoint).network.eval()
        ratios = {network.get_submodule(name): 1 - widths[1][name] / full for name, full in widths[0].items()}
        pruner = tp.pruner.MagnitudePruner(
            network, torch.zeros(shape), importance=tp.importance.MagnitudeImportance(p=1), round_to=rounding,
            pruning_ratio_dict={m: r for m, r in ratios.items() if r > 0}, pruning_ratio=0.0,
            ignored_layers=[network.head],
        )  # fmt: skip
        pruner.step()
        name = f"Torch-Pruning, round_to {rounding}"
        made[name] = export_onnx(network, folder / f"{rounding}.onnx", divisor=network.divisor)
    return made


def table(rows: Sequence[Row], found: Measured) -> list[str]:
    lines = ["| network | engine | ms | times as fast | file MiB | peak MiB |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row.network, row.engine, *cells_of(row, found)]
        lines.append("| " + " | ".join(cells) + " |")
    control = shown(found.latency.control_ratio)
    lines += ["", f"A/A control ({found.latency.baseline} against itself): {control}.", ""]
    return [*lines, *(f"- {text}" for text in found.latency.warnings)]


def cells_of(row: Row, found: Measured) -> list[str]:
    size, peak = f"{row.file.stat().st_size / MIB:.2f}", found.peaks[row.name]
    if row.name in found.absent:
        return [f"not measured: {found.absent[row.name]}", "", size, ""]
    time = f"{1e3 * median(found.latency.samples[row.name]):.2f}"
    ratio = "1" if row.name == found.latency.baseline else shown(found.latency.speedup(row.name))
    return [time, ratio, size, "" if peak is None else f"{peak / MIB:.0f}"]


def shown(interval: Interval) -> str:
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def named_file(text: str) -> tuple[str, Path]:
    name, _, path = text.rpartition("=")
    if not name or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=FILE with a file that is there")
    return name, Path(path)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=named_file, nargs="+", metavar="NAME=FILE", help="ONNX files, the dense first")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the dense network's weights, for torch")
    parser.add_argument("--like", help="file whose widths Torch-Pruning should reach; without it that is left out")
    parser.add_argument("--openvino-python", default=sys.executable, help="default: the one that runs this")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (needs a C++ compiler)")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--out", type=Path, help="also write the table here, and raw samples as JSON beside it")
    return parser.parse_args(words)


def main() -> None:
    asked = parse()
    files = dict(asked.models)
    if asked.like and asked.like not in files:
        sys.exit(f"--like {asked.like} names no file. Known: {', '.join(files)}.")
    warnings.simplefilter("ignore")  # Torch-Pruning and the exporter warn about each other's habits
    shape = (asked.batch_size, 1, asked.size, asked.size)
    with tempfile.TemporaryDirectory() as folder:
        dense = next(iter(files.values()))
        like = (asked.checkpoint, files[asked.like], dense, Path(folder), asked.size) if asked.like else None
        rows = rows_of(asked, files, torch_pruned(*like) if like else {})
        found = measure(rows, shape=shape, threads=asked.threads, rounds=asked.rounds, warmup=asked.warmup)
        lines = table(rows, found)
    head = f"Batch {' x '.join(map(str, shape))}, {asked.threads} thread(s), {asked.rounds} rounds. {cpu_model()}."
    print("\n".join([head, "", *lines]))
    if asked.out:
        asked.out.write_text("\n".join([head, "", *lines]) + "\n")
        raw = {"heading": head, "seconds": found.latency.samples, "control": found.latency.control}
        asked.out.with_suffix(".json").write_text(json.dumps(raw, indent=2) + "\n")


if __name__ == "__main__":
    main()
