"""One volume, process start included: `cardiocompress predict` beside a plain torch script.

    python benchmarks/plain_torch.py --save-weights final_model.safetensors dense.pt
    python benchmarks/predict_once.py dense.onnx pruned.onnx --volume volume.nii.gz --weights dense.pt \\
        --runtime-python runtime/bin/python --out once.json

Every sample is a fresh process with a fresh output folder. Round after round all commands take turns, every other
round in reverse order; a ratio is the median over rounds of (plain torch / candidate) with its 95% bootstrap interval.
The last model runs twice in every round: the A/A control. Peak memory is VmHWM, read in the process as it ends.
`--torch-python` needs torch, `--runtime-python` an environment with the [runtime] extra alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from compress.bench.stats import median, paired_ratio
from compress.data.phantom_marker import is_phantom, is_phantom_image
from compress.evaluate.interval import Interval
from compress.runtime.machine import available_cores, cpu_model

HERE = Path(__file__).resolve().parent
MIB = 2**20
PLAIN = "plain torch, dense"
GOALS = {"seconds": 5.0, "peak": 3.0}
"""How many times faster and smaller than plain torch the last model should be."""
SIZED_BY_US = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Left out of the children's environment: each program chooses its threads as it would for a user."""

CHILD = """
import atexit, os, sys
def report(path=sys.argv[1]):
    with open("/proc/self/status") as status, open(path, "w") as out:
        out.writelines(line for line in status if line.startswith("VmHWM"))
def leave(code, leave=os._exit):
    report()
    leave(code)
atexit.register(report)
os._exit = leave
del sys.argv[:2]
with open(sys.argv[0]) as script:
    exec(compile(script.read(), sys.argv[0], "exec"))
"""
"""Runs a script in its process and leaves the peak memory in a file, whichever way the script ends. Imports nothing."""


@dataclass
class Candidate:
    """One command, and what was measured of it."""

    name: str
    command: list[str]
    """Interpreter, script and arguments; OUT stands for the output folder."""
    seconds: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    """Bytes."""
    mask: np.ndarray | None = None


def environment() -> dict[str, str]:
    """This process's environment without thread counts."""
    return {key: value for key, value in os.environ.items() if key not in SIZED_BY_US}


def measure(candidate: Candidate, folder: Path) -> None:
    """One fresh process; appends wall seconds and peak bytes, keeps the mask."""
    out = folder / "out"
    out.mkdir(parents=True)
    interpreter, *arguments = (part.replace("OUT", str(out)) for part in candidate.command)
    command = [interpreter, "-c", CHILD, str(folder / "peak"), *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{candidate.name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    candidate.seconds.append(seconds)
    candidate.peak.append(int((folder / "peak").read_text().split()[1]) * 1024)
    (mask,) = out.glob("*.nii.gz")
    candidate.mask = np.asarray(nib.Nifti1Image.from_filename(mask).dataobj)


def rounds(candidates: Sequence[Candidate], count: int, warmup: int) -> None:
    for number in range(-warmup, count):
        for candidate in candidates[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory() as folder:
                measure(candidate, Path(folder))
        print(f"round {number + 1} of {count}", file=sys.stderr, flush=True)
    for candidate in candidates:
        del candidate.seconds[:warmup], candidate.peak[:warmup]


def candidates_of(asked: argparse.Namespace) -> list[Candidate]:
    """Plain torch, every model, and the last model again."""
    volume, threads = str(asked.volume.resolve()), ["--threads", str(asked.threads)] if asked.threads else []
    plain = [str(HERE / "plain_torch.py"), "--weights", str(asked.weights.resolve()), volume, "OUT/mask.nii.gz"]
    found = [Candidate(PLAIN, [asked.torch_python, *plain, *threads])]
    for name, model in [*((m.stem, m) for m in asked.models), (f"{asked.models[-1].stem} again", asked.models[-1])]:
        tool = str(Path(asked.runtime_python).absolute().with_name("cardiocompress"))
        arguments = ["predict", str(model.resolve()), volume, "-o", "OUT", *threads]
        found.append(Candidate(f"predict {name}", [asked.runtime_python, tool, *arguments]))
    return found


def ratio(candidates: Sequence[Candidate], candidate: Candidate, of: str, reference: int = 0) -> Interval:
    return paired_ratio(getattr(candidates[reference], of), getattr(candidate, of))


def shown(interval: Interval) -> str:
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def table(candidates: Sequence[Candidate]) -> list[str]:
    plain, again = candidates[0], candidates[-1]
    assert plain.mask is not None
    lines = [
        "| process | wall time | times as fast | peak memory | times as small | voxels unlike plain torch's |",
        "|---|---|---|---|---|---|",
    ]
    for one in candidates[:-1]:
        cells = ["1", "1", ""]
        if one is not plain:
            cells = [shown(ratio(candidates, one, "seconds")), f"{ratio(candidates, one, 'peak').median:.2f}"]
            cells.append(f"{np.count_nonzero(one.mask != plain.mask)} of {plain.mask.size}")
        peak = f"{median(one.peak) / MIB:.0f} MiB"
        lines.append(f"| {one.name} | {median(one.seconds):.2f} s | {cells[0]} | {peak} | {cells[1]} | {cells[2]} |")
    control = [shown(ratio(candidates, again, of, reference=-2)) for of in ("seconds", "peak")]
    lines += ["", f"A/A control ({candidates[-2].name} against itself): time {control[0]}, memory {control[1]}."]
    for of, goal in GOALS.items():
        reached = ratio(candidates, candidates[-2], of).median
        words = {"seconds": "as fast", "peak": "as small"}[of]
        verdict = "met" if reached >= goal else "MISSED"
        lines.append(f"Goal of {goal:g} times {words} as plain torch: {verdict} ({reached:.2f}).")
    return lines


def heading(asked: argparse.Namespace) -> str:
    shape = nib.Nifti1Image.from_filename(asked.volume).shape
    synthetic = is_phantom_image(asked.volume) or is_phantom(asked.volume.parent)
    kind = "phantom volume" if synthetic else "volume"
    threads = f"{asked.threads} threads" if asked.threads else "threads: each program's own choice"
    return (
        f"One {kind} of {shape[2]} slices, {shape[0]} x {shape[1]} pixels. {cpu_model()}, {available_cores()} cores, "
        f"{threads}, median of {asked.rounds} rounds."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="exported models; the last one is held against the goals")
    parser.add_argument("--volume", type=Path, required=True, help="NIfTI image")
    parser.add_argument("--weights", type=Path, required=True, help="plain torch's, of the dense network")
    parser.add_argument("--torch-python", default=sys.executable, help="default: the one that runs this")
    parser.add_argument("--runtime-python", required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, help="passed to every program")
    parser.add_argument("--out", type=Path, help="raw samples as JSON")
    asked = parser.parse_args()
    candidates = candidates_of(asked)
    rounds(candidates, asked.rounds, asked.warmup)
    lines = [heading(asked), "", *table(candidates)]
    print("\n".join(lines))
    if asked.out:
        raw = {one.name: {"seconds": one.seconds, "peak_bytes": one.peak} for one in candidates}
        asked.out.write_text(json.dumps({"heading": lines[0], "samples": raw}, indent=2) + "\n")


if __name__ == "__main__":
    main()
