"""A generated data set in ACDC's layout that is trained on in a second; it says that it is a phantom."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from heart_kit import make_heart

from compress.data.phantom import AFFINE
from compress.data.phantom_marker import DESCRIPTION, MARKER
from compress.files import write_json

SPACING = (1.5, 1.5, 10.0)
"""Millimetres along x, y, z."""
FRAMES = {1: 1.0, 8: 0.75}
"""ED and ES: number of the frame -> size of the heart."""


def write_hearts(folder: Path, *, patients: int) -> Path:
    """`folder/training/patient001` and so on."""
    write_json(folder / MARKER, {"generator": "tests"})
    for number in range(1, patients + 1):
        name = f"patient{number:03d}"
        place = folder / "training" / name
        place.mkdir(parents=True)
        group = ("NOR", "DCM", "HCM", "MINF", "RV")[number % 5]
        (place / "Info.cfg").write_text(f"ED: 1\nES: 8\nGroup: {group}\nHeight: 170.0\nNbFrame: 20\nWeight: 70.0\n")
        for frame, scale in FRAMES.items():
            image, mask = make_heart(slices=7, seed=100 * number + frame, scale=scale * (1 - 0.01 * number))
            write(place / f"{name}_frame{frame:02d}.nii.gz", image)
            write(place / f"{name}_frame{frame:02d}_gt.nii.gz", mask)
    return folder


def write_nnunet(hearts: Path, folder: Path) -> Path:
    """The same images in nnU-Net's raw format."""
    for mask in sorted(hearts.rglob("*_gt.nii.gz")):
        name = mask.name.removesuffix("_gt.nii.gz")
        image = mask.with_name(f"{name}.nii.gz")
        for source, target in ((image, f"imagesTr/{name}_0000.nii.gz"), (mask, f"labelsTr/{name}.nii.gz")):
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / target)
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    document = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(document))
    write_json(folder / MARKER, {"generator": "tests"})
    return folder


def write(path: Path, array: np.ndarray) -> None:
    """(Z, Y, X) as a NIfTI file whose header says phantom."""
    image = nib.Nifti1Image(array.T, AFFINE)
    image.header.set_zooms(SPACING)
    image.header["descrip"] = DESCRIPTION
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
