"""Stock nnU-Net beside `predict`: masks voxel by voxel, CPU time and memory. Writes benchmarks/NNUNET.md.

    python benchmarks/nnunet_parity.py RESULTS MODEL.onnx ACDC --stock PYTHON [--patients 091 092 ...]

RESULTS is a results folder of nnU-Net, MODEL.onnx what `import-nnunet` and `export` made of it, PYTHON an interpreter
with nnunetv2 2.8.1. Every program runs with one thread and passive waiting; the two sides take turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

HERE = Path(__file__).resolve().parent
PATIENTS = ("003", "005", "018", "045", "061", "063", "076", "085", "090", "100")
"""Ten that the network did not see in its training."""
_WORDS = {True: "mirrored", False: "plain"}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Cost:
    """What one program took, its children included."""

    cpu_s: float
    peak_mib: float
    """Of the largest of its processes."""


def cost_of(*command: str | Path) -> Cost:
    """Run a program in a process of its own, so that its peak is its own."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); sys.stderr.write(done.stderr[-2000:]);"
        "print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024); sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {done.stderr}")
    cpu, peak = map(float, done.stdout.split()[-2:])
    return Cost(cpu, peak)


def masks_in(folder: Path) -> dict[str, np.ndarray]:
    """(X, Y, Z) labels by case."""
    files = sorted(folder.rglob("*.nii.gz"))
    return {f.name.removesuffix(".nii.gz"): np.asarray(nib.load(f).dataobj).astype(np.uint8) for f in files}  # pyright: ignore


def compare(arguments: argparse.Namespace, scratch: Path, *, mirroring: bool) -> tuple[list[list[str]], Cost, Cost]:
    """One row per volume, and what the two sides cost over all volumes together, start of the program included."""
    word = _WORDS[mirroring]
    theirs, ours, images = scratch / f"stock-{word}", scratch / f"ours-{word}", scratch / "images"
    stock = [arguments.stock.with_name("nnUNetv2_predict_from_modelfolder"), "-i", images, "-o", theirs]
    stock += ["-m", arguments.results, "-f", arguments.fold, "-device", "cpu", "-npp", "1", "-nps", "1"]
    flags: list[str] = [] if mirroring else ["--disable_tta"]
    paid = cost_of(*stock, *flags)
    predict = [Path(sys.executable).with_name("cardiocompress"), "predict", arguments.model, images, "-o", ours]
    spent = cost_of(*predict, "--tta" if mirroring else "--no-tta", "--threads", "1")
    found, wanted = masks_in(ours), masks_in(theirs)
    rows = []
    for name, mask in wanted.items():
        mine = found[name]
        rows.append([name, word, f"{np.count_nonzero(mine != mask)}", f"{mask.size:,}", f"{np.count_nonzero(mask):,}"])
    return rows, paid, spent


def _shown(paid: Cost, spent: Cost) -> list[str]:
    seconds = [f"{paid.cpu_s:.1f}", f"{spent.cpu_s:.1f}", f"{paid.cpu_s / spent.cpu_s:.1f}"]
    return [*seconds, f"{paid.peak_mib:.0f}", f"{spent.peak_mib:.0f}"]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("acdc", type=Path)
    parser.add_argument("--stock", type=Path, required=True)
    parser.add_argument("--fold", default="0")
    parser.add_argument("--patients", nargs="+", default=PATIENTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "images").mkdir()
        for patient in arguments.patients:
            first = sorted((arguments.acdc / f"patient{patient}").glob("*_frame??.nii.gz"))[0]
            (scratch / "images" / f"{first.name.removesuffix('.nii.gz')}_0000.nii.gz").symlink_to(first.resolve())
        every = {mirroring: compare(arguments, scratch, mirroring=mirroring) for mirroring in (False, True)}
    rows = [row for part, _, _ in every.values() for row in part]
    costs = [[_WORDS[mirroring], *_shown(paid, spent)] for mirroring, (_, paid, spent) in every.items()]
    worst = max(int(row[2]) for row in rows)
    text = (HERE / "NNUNET.template.md").read_text()
    volumes = len(arguments.patients)
    parity = table(["volume", "way", "voxels that differ", "of", "foreground"], rows)
    heads = ["way", "stock CPU s", "predict CPU s", "times less", "stock peak MiB", "predict peak MiB"]
    told = text.format(volumes=volumes, worst=worst, parity=parity, costs=table(heads, costs))
    (HERE / "NNUNET.md").write_text(told)
    print(told, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)


if __name__ == "__main__":
    main()
