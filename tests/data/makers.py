"""Tiny NIfTI patients for the data tests: a heart of three boxes, generated, a few kilobytes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (3, 24, 20)  # (Z, Y, X)
SPACING = (10.0, 1.5, 1.25)  # mm along (z, y, x)
ACDC_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def make_image(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(Z, Y, X), or (T, Z, Y, X): noise, brighter in the cavities of `make_mask`."""
    noise = np.random.default_rng(seed).integers(0, 150, shape)
    blood = np.isin(make_mask(), (1, 3)) if shape[-2:] == SHAPE[1:] else np.zeros(1, bool)
    return (noise + 100 * blood[:1]).astype(np.int16)


def make_mask(lv: int = 6, shape: tuple[int, int, int] = SHAPE, values: tuple[int, int, int] = (1, 2, 3)) -> np.ndarray:
    """RV, MYO and LV boxes on every slice; the LV is `lv` columns wide."""
    rv_value, myo_value, lv_value = values
    mask = np.zeros(shape, dtype=np.uint8)
    mask[:, 4:8, 2:10] = rv_value
    mask[:, 9:18, 4:16] = myo_value
    mask[:, 11:16, 6 : 6 + lv] = lv_value
    return mask


def save(
    path: Path, array: np.ndarray, *, spacing: tuple[float, ...] = SPACING, affine: np.ndarray = ACDC_AFFINE
) -> Path:
    """Write (Z, Y, X) (or (T, Z, Y, X)) as NIfTI with an ACDC-like affine that does not hold the spacing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array.T, affine)
    zooms = tuple(reversed(spacing)) + (1.0,) * (array.ndim - len(spacing))
    image.header.set_zooms(zooms[: array.ndim])
    nib.save(image, path)
    return path


def acdc_patient(root: Path, number: int, *, group: str | None = "NOR", seed: int | None = None) -> Path:
    """`root/patientNNN` with ED frame 1 (LV 6 wide) and ES frame 8 (LV 3 wide)."""
    name = f"patient{number:03d}"
    folder = root / name
    folder.mkdir(parents=True)
    lines = ["ED: 1", "ES: 8", *([f"Group: {group}"] if group else []), "Height: 170.0", "NbFrame: 20"]
    (folder / "Info.cfg").write_text("\n".join(lines) + "\n")
    for frame, lv in ((1, 6), (8, 3)):
        save(folder / f"{name}_frame{frame:02d}.nii.gz", make_image(frame + 100 * (number if seed is None else seed)))
        save(folder / f"{name}_frame{frame:02d}_gt.nii.gz", make_mask(lv))
    return folder


def acdc_root(root: Path, count: int = 3) -> Path:
    for number in range(1, count + 1):
        acdc_patient(root / "training", number)
    return root


def nnunet_case(root: Path, case: str, *, lv: int = 6, values: tuple[int, int, int] = (1, 2, 3), seed: int = 0) -> None:
    save(root / "imagesTr" / f"{case}_0000.nii.gz", make_image(seed))
    save(root / "labelsTr" / f"{case}.nii.gz", make_mask(lv, values=values))


def dataset_json(root: Path, labels: object) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))


def raw_header(path: Path) -> nib.Nifti1Header:
    """The header as it stands in the file, not repaired as `nibabel.load` would."""
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if content[344:348] == b"n+1\0":
        return nib.Nifti1Header(content[:348], check=False)
    return nib.Nifti2Header(content[:540], check=False)
