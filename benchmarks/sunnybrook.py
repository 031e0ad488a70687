"""EF and phases of the two Sunnybrook patients: experts' contours beside a network's reports.

cardiocompress predict MODEL SUNNYBROOK -o RESULTS
python benchmarks/sunnybrook.py SUNNYBROOK RESULTS
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

CONTOURS = {"SCD0000101": "SC-HF-I-1", "SCD0000201": "SC-HF-I-2"}
FRAMES = 20
PIXEL_MM, GAP_MM = 1.367188, 10.0
"""As in both patients' headers."""


def area(points: np.ndarray) -> float:
    """Pixels inside a closed contour of (n, 2) points."""
    x, y = points.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def truth(folder: Path) -> dict[int, float]:
    """Millilitres inside the endocardial contours, by frame (from 1); images are numbered slice after slice."""
    volumes: dict[int, float] = {}
    for path in sorted((folder / "i-contours").glob("*.txt")):
        number = int(re.findall(r"\d{4}", path.name)[1])
        frame = (number - 1) % FRAMES + 1
        volumes[frame] = volumes.get(frame, 0.0) + area(np.loadtxt(path)) * PIXEL_MM**2 * GAP_MM / 1000
    return volumes


def main(sunnybrook: Path, results: Path) -> None:
    print("| patient | | ED frame | EDV (ml) | ES frame | ESV (ml) | EF (%) |\n|---|---|---|---|---|---|---|")
    for patient, contours in CONTOURS.items():
        volumes = truth(sunnybrook / "contours" / contours)
        ed, es = max(volumes, key=lambda f: volumes[f]), min(volumes, key=lambda f: volumes[f])
        ef = 100 * (1 - volumes[es] / volumes[ed])
        print(f"| {patient} | contours | {ed} | {volumes[ed]:.1f} | {es} | {volumes[es]:.1f} | {ef:.1f} |")
        report = json.loads((results / f"{patient}.json").read_text(encoding="utf-8"))
        phases, told = report["phases"], {name: entry["value"] for name, entry in report["clinical"].items()}
        found = (phases["ED"]["frame"], told["LV EDV"], phases["ES"]["frame"], told["LV ESV"], told["LV EF"])
        print("| | network | {} | {:.1f} | {} | {:.1f} | {:.1f} |".format(*found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
