"""Where one `cardiocompress predict` process spends its time and memory, from its start to its end.

    python benchmarks/predict_profile.py pruned.onnx volume.nii.gz --runtime-python runtime/bin/python

Timers are put around the product's functions and around the loading of modules from outside, in the child; a phase
does not count what another phase inside it counts. A package's own imports from the standard library are its own.
Only the standard library is imported here, so that the child measures little of this script. Memory is ru_maxrss,
which takes a microsecond to read; it begins at this parent's peak, some 20 MiB, which every Python nearly reaches.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import importlib
import importlib.machinery
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

IMPORTS = {
    "typer": ("typer", "shellingham", "annotated_doc"),
    "pydantic (typer 0.29 and later)": (
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_inspection",
    ),
    "rich": ("rich", "pygments", "markdown_it", "mdurl"),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "nibabel": ("nibabel", "importlib_resources", "packaging"),
    "onnxruntime": ("onnxruntime", "flatbuffers", "google"),
    "ours": ("cli", "compress"),
}
"""Phase, after "import ", and the packages that it holds."""

PHASES = {
    ("compress.inference.predict", "find_sources"): "find the images",
    ("compress.runtime.segmenter", "read_model_file"): "inspect the model file",
    ("compress.runtime.segmenter", "read_card"): "inspect the model file",
    ("compress.runtime.segmenter", "open_session"): "open the session, prove the provider",
    ("compress.data.images", "open_image"): "read the image",
    ("compress.data.frames", "read_frame"): "read the image",
    ("compress.data.frames", "finite_float32"): "read the image",
    ("compress.runtime.segmenter", "check_image"): "check the image",
    ("compress.data.preprocess.Preprocessing", "forward"): "resample, crop, normalise",
    ("compress.runtime.session.Session", "run"): "network",
    ("compress.runtime.predict", "inverse"): "labels on the native grid",
    ("compress.inference.work", "write_labels"): "write the mask",
    ("compress.inference.work", "digest_file"): "digests of image and mask",
    ("compress.inference.work", "describe_study"): "volumes, flags, trace",
    ("compress.inference.work", "write_json"): "write the report",
}
"""(module or class, function) -> phase."""

START, REST, END = "start Python", "parse the command line, print, the rest", "end Python"


class Clock:
    """Seconds and growth of the peak memory (bytes) by phase."""

    def __init__(self, born: float) -> None:
        self.spent: dict[str, list[float]] = {}
        self.open = [START]
        self.last, self.peak = born, 0
        self.charge()
        self.open = [REST]

    def charge(self) -> None:
        """Book what passed since the last call on the innermost open phase."""
        now, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        row = self.spent.setdefault(self.open[-1], [0.0, 0.0])
        row[0] += now - self.last
        row[1] += peak - self.peak
        self.last, self.peak = now, peak

    def timed(self, function: Callable[..., Any], phase: Callable[..., str | None]) -> Callable[..., Any]:
        """`function`, its time booked on what `phase` makes of its arguments; None: on the phase that is open."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            name = phase(*args)
            if name is None or name == self.open[-1]:
                return function(*args, **kwargs)
            self.charge()
            self.open.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self.charge()
                self.open.pop()

        return wrapper


def time_imports(clock: Clock) -> None:
    """Book the loading of every module on its package."""
    phases = {package: f"import {name}" for name, packages in IMPORTS.items() for package in packages}

    def phase(_: Any, module: Any) -> str | None:
        name = getattr(module, "__name__", "") or module.name  # a module, or the specification of one
        return phases.get(name.partition(".")[0])

    machinery = importlib.machinery
    for loader, method in (
        (machinery.SourceFileLoader, "exec_module"),
        (machinery.ExtensionFileLoader, "create_module"),
        (machinery.ExtensionFileLoader, "exec_module"),
    ):
        setattr(loader, method, clock.timed(getattr(loader, method), phase))
    load = machinery.SourceFileLoader.exec_module

    def load_and_time(loader: Any, module: Any) -> None:
        load(loader, module)
        if module.__name__ == "compress.inference.predict":  # it imports all the others
            time_functions(clock)

    machinery.SourceFileLoader.exec_module = load_and_time  # pyright: ignore[reportAttributeAccessIssue]


def time_functions(clock: Clock) -> None:
    """Book the functions of `PHASES`."""
    for (place, name), phase in PHASES.items():
        owner = resolve(place)
        setattr(owner, name, clock.timed(getattr(owner, name), lambda *_, phase=phase: phase))


def child(born: float, report: str, arguments: list[str]) -> None:
    """Run the command line with timers around what both tables name."""
    clock = Clock(born)
    time_imports(clock)
    leave = os._exit

    def finish() -> None:
        clock.charge()
        with open(report, "w") as out:  # noqa: PTH123 no pathlib: it would be measured
            json.dump({"spent": clock.spent, "last": clock.last}, out)

    def leave_at_once(code: int) -> None:
        finish()
        leave(code)

    atexit.register(finish)
    os._exit = leave_at_once  # a program may end this way
    sys.argv = ["cardiocompress", "predict", *arguments]
    resolve("cli.app").main()


def resolve(place: str) -> Any:
    """A module, or a class in one."""
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(module), name) if name[0].isupper() else importlib.import_module(place)


def run(asked: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """One fresh process: phase -> [seconds, bytes]."""
    sized = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in sized}
    arguments = [str(asked.model.resolve()), str(asked.volume.resolve()), "-o", str(folder / "out")]
    arguments += ["--threads", str(asked.threads)] if asked.threads else []
    report = folder / "report.json"
    command = [asked.runtime_python, str(Path(__file__).resolve()), "--child", repr(time.monotonic()), str(report)]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
    ended = time.monotonic()
    if done.returncode:
        sys.exit(f"The child ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found = json.loads(report.read_text())
    return {**found["spent"], END: [ended - found["last"], 0.0]}


def table(runs: list[dict[str, list[float]]]) -> str:
    lines = ["| phase | time | adds to the peak memory |", "|---|---|---|"]
    for phase in (START, *(f"import {name}" for name in IMPORTS), *dict.fromkeys(PHASES.values()), REST, END):
        seconds, grown = (median(r.get(phase, (0.0, 0.0))[i] for r in runs) for i in (0, 1))
        lines.append(f"| {phase} | {1e3 * seconds:.0f} ms | {grown / 2**20:.0f} MiB |")
    seconds, grown = (median(sum(row[i] for row in r.values()) for r in runs) for i in (0, 1))
    return "\n".join([*lines, f"| **all** | **{1e3 * seconds:.0f} ms** | **{grown / 2**20:.0f} MiB** |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--runtime-python", required=True)
    parser.add_argument("--runs", type=int, default=15, help="after one that does not count")
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    runs = []
    for _ in range(asked.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(run(asked, Path(folder)))
    print(table(runs[1:]))
    print(f"\n{asked.model.stem}, medians of {asked.runs} processes (each line on its own, so they need not add up).")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        main()
