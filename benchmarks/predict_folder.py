"""A folder of 50 phantom studies through `cardiocompress predict`: throughput, flat memory, and kills survived.

    python benchmarks/predict_folder.py pruned.onnx --work folder --runtime-python runtime/bin/python

Once without interruption, its memory sampled every 0.2 s; then again, killed with SIGKILL at seeded random moments and
resumed until it ends. Both output folders must then be equal byte for byte, with one row per study in summary.csv, no
partial file left, and no finished study computed again. The phantom studies are made once and kept in the work folder.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.phantom import write_phantom
from compress.runtime.machine import available_cores, cpu_model

INTERVAL = 0.2
MIB = 2**20
SHARES = (0.2, 0.5, 0.8, 1.0)
SIZED_BY_US = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Left out of the children's environment: the product chooses its threads as it would for a user."""


@dataclass(frozen=True)
class Sample:
    """One look at the running process."""

    seconds: float
    done: int
    """Studies with a report."""
    resident: int
    """Bytes."""
    peak: int
    """Bytes."""


class Prediction:
    """One `predict` process over the folder; leave the block and it is gone."""

    def __init__(self, asked: argparse.Namespace, out: Path, *options: str) -> None:
        tool = Path(asked.runtime_python).absolute().with_name("cardiocompress")
        command = [str(tool), "predict", str(asked.model), str(phantom(asked)), "-o", str(out), *options]
        command += ["--threads", str(asked.threads)] if asked.threads else []
        environment = {key: value for key, value in os.environ.items() if key not in SIZED_BY_US}
        self.out, self.log = out, out.with_suffix(".log")
        self.start = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> Prediction:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def samples(self, interval: float) -> Iterator[Sample]:
        """Until the process ends. Exits when it failed."""
        while self.process.poll() is None:
            figures = memory(self.process.pid)
            if figures is not None:
                yield Sample(time.perf_counter() - self.start, len(reports(self.out)), *figures)
            time.sleep(interval)
        if self.process.returncode:
            sys.exit(f"predict ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")


def memory(pid: int) -> tuple[int, int] | None:
    """(VmRSS, VmHWM) in bytes; None once the process has given its memory back."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return (int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024) if found else None


def phantom(asked: argparse.Namespace) -> Path:
    """The studies, made on the first call: rename at the end, so that a folder that is there is whole."""
    folder = asked.work / f"phantom-{asked.studies}-{asked.seed}"
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        print(f"making {asked.studies} phantom studies", file=sys.stderr)
        write_phantom(partial, patients=asked.studies, seed=asked.seed).rename(folder)
    return folder


def reports(out: Path) -> set[str]:
    return {path.name for path in out.glob("[!.]*.json")} if out.is_dir() else set()


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def uninterrupted(asked: argparse.Namespace, out: Path) -> tuple[float, list[Sample]]:
    """Wall seconds, and the samples."""
    with Prediction(asked, out) as running:
        samples = list(running.samples(INTERVAL))
        return time.perf_counter() - running.start, samples


def killed(asked: argparse.Namespace, out: Path, per_study: float) -> list[str]:
    """Kill and resume until it ends; a line for every kill.

    The first kill comes at a random moment before the first study is done, the others a random part of a study after
    a random number of studies; every second one waits until a file is being written.
    """
    draw, lines, untouched = random.Random(asked.seed), [], {}
    moments = [0, *sorted(draw.sample(range(1, asked.studies), asked.kills - 1))]
    for number, moment in enumerate(moments, start=1):
        with Prediction(asked, out, *(["--resume"] if number > 1 else [])) as running:
            if any(sample.done >= moment for sample in running.samples(per_study / 20)):
                time.sleep(draw.uniform(0, per_study))
            if number % 2 == 0:
                wait_for_write(running)
            running.process.send_signal(signal.SIGKILL)
            if running.process.wait() != -signal.SIGKILL:
                sys.exit(f"Kill {number} came too late: predict had ended.")
        untouched |= {name: (out / name).stat().st_mtime_ns for name in reports(out) - untouched.keys()}
        lines.append(f"kill {number}: {len(reports(out))} studies finished, {len(partials(out))} partial files")
    with Prediction(asked, out, "--resume") as running:
        for _ in running.samples(INTERVAL):
            pass
    again = [name for name, moment in untouched.items() if (out / name).stat().st_mtime_ns != moment]
    assert not again, f"computed again although finished: {again}"
    return lines


def wait_for_write(running: Prediction) -> None:
    """Until a partial file is seen, without a pause: it lives for about a millisecond."""
    while running.process.poll() is None and not partials(running.out):
        pass


def partials(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.name.startswith(".")] if out.is_dir() else []


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def compare(whole: Path, resumed: Path, studies: int) -> str:
    """What was found equal; AssertionError for anything lost, doubled, different or left over."""
    first, second = digests(whole), digests(resumed)
    assert not partials(whole) and not partials(resumed), "partial files were left"
    assert first.keys() == second.keys(), f"not in both: {sorted(first.keys() ^ second.keys())}"
    assert not (unlike := [name for name in first if first[name] != second[name]]), f"differ: {unlike}"
    masks, written = (sum(name.endswith(end) for name in first) for end in (".nii.gz", ".json"))
    assert (masks, written) == (2 * studies, studies), f"{masks} masks and {written} reports of {studies} studies"
    rows = [row[0] for row in csv.reader((whole / "summary.csv").read_text().splitlines())][1:]
    assert len(rows) == len(set(rows)) == studies, f"summary.csv has {len(rows)} rows of {len(set(rows))} studies"
    return f"{masks} masks, {written} reports and summary.csv are equal byte for byte"


def slices_of(out: Path) -> int:
    images = [image for name in reports(out) for image in json.loads((out / name).read_text())["images"]]
    return sum(image["shape_zyx"][0] * image["frames"] for image in images)


def memory_table(samples: list[Sample], studies: int) -> list[str]:
    """Resident memory when each share of the studies was finished: the median of the five samples before."""
    lines = ["| studies finished | resident memory (VmRSS) |", "|---|---|"]
    for share in SHARES:
        near = [s.resident for s in samples if s.done <= share * studies][-5:]
        lines.append(f"| {share:.0%} | {np.median(near) / MIB:.1f} MiB |")
    return [*lines, f"| peak of the process (VmHWM) | {max(s.peak for s in samples) / MIB:.1f} MiB |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for phantom studies and results")
    parser.add_argument("--runtime-python", required=True, help="of an environment with the [runtime] extra")
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    whole, resumed = fresh(asked.work / "whole"), fresh(asked.work / "killed")
    phantom(asked)
    seconds, samples = uninterrupted(asked, whole)
    slices = slices_of(whole)
    print(f"{asked.studies} phantom studies, ED and ES, {slices} slices; {asked.model.stem}; ", end="")
    print(f"{cpu_model()}, {available_cores()} cores.\n")
    print(f"{seconds:.1f} s, process start included: ", end="")
    print(f"**{asked.studies / seconds:.2f} studies/s, {slices / seconds:.0f} slices/s**.\n")
    print("\n".join(memory_table(samples, asked.studies)))
    lines = killed(asked, resumed, seconds / asked.studies)
    print(f"\nKilled {asked.kills} times and resumed ({'; '.join(lines)}): ", end="")
    print(f"{compare(whole, resumed, asked.studies)}; nothing was lost or doubled, no finished study computed again.")


if __name__ == "__main__":
    main()
