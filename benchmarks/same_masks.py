"""Does `predict`, in an environment without torch, give the masks of the training side? On real volumes.

    python benchmarks/same_masks.py DATA --runtime VENV --pair CHECKPOINT MODEL.onnx [--pair ...] [--every N]

The training side is evaluation's own code: torch in float32 on the CPU. The other side is the command
`cardiocompress predict` of VENV, in which importing torch must fail.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from compress.data.layouts import find_cases, read_volume
from compress.data.nifti import read_mask
from compress.errors import EnvironmentFault
from compress.models.checkpoint import load
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata
from compress.runtime.predict import find
from compress.steps.scoring.cohort import torch_run


def main() -> None:
    asked = parse()
    refuse_torch(asked.runtime)
    studies = find_cases(asked.data, require_masks=False)
    patients = sorted({study.patient for study in studies})[:: asked.every]
    chosen = [study for study in studies if study.patient in patients]
    print(f"{len(chosen)} volumes of {len(patients)} patients\n")
    print("| model | differing voxels | of | volumes with a difference | foreground voxels |")
    print("|---|---|---|---|---|")
    for checkpoint, model in asked.pair:
        print(compare(Path(checkpoint), Path(model), asked, chosen), flush=True)


def compare(checkpoint: Path, model: Path, asked: argparse.Namespace, studies: list) -> str:
    loaded = load(checkpoint)
    rules = read_card(read_metadata(model), model).preprocessing
    run = torch_run(loaded.network, torch.device("cpu"))
    differing = voxels = volumes = foreground = 0
    with tempfile.TemporaryDirectory() as folder:
        for patient in dict.fromkeys(study.image_path.parent for study in studies):
            predict(asked.runtime, model, patient, Path(folder))
        for study in studies:
            look = partial(rules.forward, read_volume(study, require_mask=False))
            ours = find(run, look, recentre=rules.recentre, batch_size=8).mask
            theirs = read_mask(Path(folder) / f"{study.name}.nii.gz").array
            changed = int(np.count_nonzero(ours != theirs))
            differing, volumes, voxels = differing + changed, volumes + (changed > 0), voxels + ours.size
            foreground += int(np.count_nonzero(ours))
    return f"| {model.stem} | {differing} | {voxels:,} | {volumes} | {foreground:,} |"


def predict(runtime: Path, model: Path, source: Path, out: Path) -> None:
    command = [runtime / "bin/cardiocompress", "predict", model, source, "-o", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFault(f"predict failed on {source.name}: {done.stderr.strip()}")


def refuse_torch(runtime: Path) -> None:
    done = subprocess.run([str(runtime / "bin/python"), "-c", "import torch"], capture_output=True, check=False)
    if done.returncode == 0:
        raise EnvironmentFault(f"{runtime} can import torch, so it proves nothing.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--runtime", type=Path, required=True, help="a venv with cardiocompress[runtime] alone")
    parser.add_argument("--pair", nargs=2, action="append", required=True, metavar=("CHECKPOINT", "MODEL"))
    parser.add_argument("--every", type=int, default=1, help="take every so many patients")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
