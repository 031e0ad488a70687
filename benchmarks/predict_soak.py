"""`predict` for as long as you like in one process: do memory, file handles and threads stay flat?

    python benchmarks/predict_soak.py model.onnx --work folder --minutes 60 --plot benchmarks/pictures/soak.png

Generated studies, four phantom patients as NIfTI and two cines as DICOM, are segmented again and again, each round into
the same folder with --restart. After each study the process is looked at in /proc (Linux). What the
first fifth of the time needs to fill caches and pools is not counted. The model may be any exported file. Needs the
[runtime], [dicom] and [overlays] extras, and pydicom's generator in tests/dicom_kit.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from dicom_kit import beating, write_study

from compress.data.phantom import write_phantom
from compress.inference.predict import PredictRequest, predict
from compress.report.style import picture
from compress.runtime.machine import cpu_model

MIB = 2**20
SETTLED = 0.2
"""The share of the time that is not counted."""


@dataclass(frozen=True)
class Look:
    """The process after one study."""

    seconds: float
    resident: float
    """MiB."""
    handles: int
    threads: int


def look(began: float) -> Look:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(list(Path("/proc/self/task").iterdir()))
    handles = len(list(Path("/proc/self/fd").iterdir()))
    return Look(time.monotonic() - began, pages * os.sysconf("SC_PAGE_SIZE") / MIB, handles, threads)


def studies(work: Path) -> list[Path]:
    """A folder of NIfTI and one of DICOM; made once."""
    nifti, dicom = work / "nifti", work / "dicom"
    if not nifti.is_dir():
        write_phantom(work / ".nifti", patients=4, seed=21).rename(nifti)
    if not dicom.is_dir():
        for number in range(2):
            write_study(work / ".dicom" / f"P{number}", beating((6, 8, 96, 96), seed=number), patient=f"P{number}")
        (work / ".dicom").rename(dicom)
    return [nifti, dicom]


def soak(model: Path, work: Path, seconds: float) -> Iterator[Look]:
    began, round_ = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        for source in studies(work):
            looks: list[Look] = []
            out = work / f"masks-{source.name}"
            request = PredictRequest(model, source, out, threads=1, force=True, earlier="restart")
            report = predict(request, observers=[lambda *_, looks=looks: looks.append(look(began))])
            if report.problems:
                sys.exit(f"round {round_}: {report.problems[0].message}")
            yield from looks
        round_ += 1


def slope(looks: Sequence[Look]) -> float:
    """MiB an hour, by least squares."""
    return float(np.polyfit([each.seconds / 3600 for each in looks], [each.resident for each in looks], 1)[0])


def draw(path: Path, looks: Sequence[Look]) -> None:
    with picture(path, "One process of predict", size=(6.4, 4.4), phantom=True) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        minutes = [each.seconds / 60 for each in looks]
        above.plot(minutes, [each.resident for each in looks])
        above.set_ylabel("resident memory (MiB)")
        above.set_ylim(0, 1.2 * max(each.resident for each in looks))
        below.plot(minutes, [each.handles for each in looks], label="file handles")
        below.plot(minutes, [each.threads for each in looks], label="threads")
        below.set_ylim(bottom=0)
        below.set_xlabel("minutes, generated studies in NIfTI and DICOM")
        below.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    looks = list(soak(asked.model.resolve(), asked.work.resolve(), 60 * asked.minutes))
    counted = [each for each in looks if each.seconds >= SETTLED * looks[-1].seconds]
    told = {
        "machine": cpu_model(),
        "minutes": round(looks[-1].seconds / 60, 1),
        "studies": len(looks),
        "memory, MiB": [round(f(each.resident for each in counted), 1) for f in (min, max)],
        "memory, MiB an hour": round(slope(counted), 1),
        "file handles": sorted({each.handles for each in counted}),
        "threads": sorted({each.threads for each in counted}),
    }
    print(json.dumps(told, indent=2))
    if asked.plot:
        draw(asked.plot, looks)


if __name__ == "__main__":
    main()
