"""What a folder of thousands of DICOM files of other series costs before `predict` says that it holds no stack.

    python benchmarks/other_series.py WORK_FOLDER [--files 1000 10000]

The files are one generated localiser of 64 x 64 pixels under many names. Each folder is read by a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from many_studies import header
from pydicom import dcmwrite

from compress.data.sources import find_sources


def main() -> None:
    asked = parse()
    if asked.read is not None:
        return report(asked.read)
    print("| files | seconds of CPU | peak memory (MiB) | said |\n|---|---|---|---|", flush=True)
    for count in asked.files:
        folder = asked.work / f"others{count}"
        if not folder.exists():
            write(folder, count)
        subprocess.run([sys.executable, __file__, str(asked.work), "--read", str(folder)], check=True)


def report(folder: Path) -> None:
    """One row, of this process."""
    began = time.process_time()
    (problem,) = find_sources(folder).problems
    spent, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = problem.message.replace(str(folder), "FOLDER")
    print(f"| {sum(1 for _ in folder.iterdir())} | {spent:.1f} | {peak:.0f} | {said} |", flush=True)


def write(folder: Path, count: int) -> None:
    """`count` copies of one transverse image, each with a UID of its own."""
    folder.mkdir(parents=True)
    data = header(0, "localiser")
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    data.PixelSpacing, data.InstanceNumber, data.Rows, data.Columns = [2, 2], 1, 64, 64
    data.PixelData = np.zeros((64, 64), "<i2").tobytes()
    dcmwrite(folder / "0.dcm", data, enforce_file_format=True)
    raw, mark = (folder / "0.dcm").read_bytes(), data.SOPInstanceUID.encode()
    for number in range(1, count):
        (folder / f"{number}.dcm").write_bytes(raw.replace(mark, mark[:-6] + str(number).zfill(6).encode()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="a folder for the files")
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--read", type=Path, help="read one such folder in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
