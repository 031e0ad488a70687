"""What one volume of a data folder holds, measured once, and what is wrong with its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.data.belonging import edge_share, mask_doubt
from compress.data.images import read_case_mask
from compress.data.layouts import read_volume
from compress.data.scan import Problem
from compress.data.split import array_fingerprint
from compress.data.volume import Case, Volume, two_voxel_sizes
from compress.errors import DataError


@dataclass(frozen=True)
class VolumeFacts:
    """What one readable volume holds."""

    patient: str
    phase: str
    image: Path
    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    spacing_mm: tuple[float, float, float]
    """Along (slice, row, column)."""
    intensity_max: float
    fingerprint: str
    """Of the image's voxels."""
    mask_fingerprint: str
    """Of the mask's voxels, "" without a readable mask."""
    millilitres: dict[str, float]
    """Volume per structure; empty without a readable mask."""
    lv_edge: float | None
    """Share of the LV's edge along which it is brighter than the myocardium; None without one."""
    outside_crop: dict[str, float]
    """Millilitres per structure outside the centred crop; empty without a readable mask."""


def look_at(case: Case, *, crop_mm: float, problems: list[Problem]) -> VolumeFacts | None:
    """Read one case and measure it, or None when its image is unreadable; every fault is added to `problems`."""
    volume = _read(case, problems)
    if volume is None:
        return None
    z, y, x = volume.spacing
    if z < min(y, x):
        message = f"{case.image_path} has slices {z:g} mm apart, pixels of {y:g} x {x:g} mm: is the third axis z?"
        problems.append(Problem(case.image_path, message))
    if sizes := two_voxel_sizes(volume.spacing, volume.affine):
        problems.append(Problem(case.image_path, f"{case.image_path}: {sizes}: which is true?"))
    ml, outside = _measure(volume, crop_mm)
    absent = [name for name, amount in ml.items() if amount == 0]
    if absent and case.label_path is not None:
        problems.append(Problem(case.label_path, f"{case.label_path} holds no {' and no '.join(absent)} at all."))
    if doubt := mask_doubt(volume):
        where = case.label_path or case.image_path
        problems.append(Problem(where, f"{where} is not the mask of its image: {doubt}."))
    return VolumeFacts(
        patient=case.patient,
        phase=case.phase,
        image=case.image_path,
        shape=(volume.shown.shape[0], volume.shown.shape[1], volume.shown.shape[2]),
        spacing_mm=volume.spacing,
        intensity_max=float(volume.image.max()),
        fingerprint=array_fingerprint(volume.image),
        mask_fingerprint="" if volume.mask is None else array_fingerprint(volume.mask),
        millilitres=ml,
        lv_edge=edge_share(volume),
        outside_crop=outside,
    )


def _read(case: Case, problems: list[Problem]) -> Volume | None:
    """The volume; without its mask when only that is faulty, None when the image is. Every fault is noted."""
    image_only = replace(case, label_path=None)
    try:
        return read_volume(case, require_mask=False)
    except DataError as error:
        fault = str(error)
    try:
        volume = read_volume(image_only, require_mask=False)
    except DataError as error:
        problems.append(Problem(case.image_path, str(error)))
        problems += _mask_alone(case)
        return None
    problems.append(Problem(case.label_path or case.image_path, fault))
    return volume


def _mask_alone(case: Case) -> list[Problem]:
    try:
        if case.label_path is not None:
            read_case_mask(case)
    except DataError as error:
        return [Problem(case.label_path or case.image_path, str(error))]
    return []


def _measure(volume: Volume, crop_mm: float) -> tuple[dict[str, float], dict[str, float]]:
    if volume.mask is None:
        return {}, {}
    z, y, x = volume.spacing
    rows, columns = (_inside(n, size, crop_mm) for n, size in zip(volume.mask.shape[1:], (y, x), strict=True))
    whole = np.bincount(volume.mask.ravel(), minlength=256)
    kept = np.bincount(volume.mask[:, rows][:, :, columns].ravel(), minlength=256)
    ml = {name: float(whole[value]) * z * y * x / 1000 for name, value in volume.case.values.items()}
    cut = {name: float(whole[value] - kept[value]) * z * y * x / 1000 for name, value in volume.case.values.items()}
    return ml, cut


def _inside(pixels: int, size_mm: float, crop_mm: float) -> np.ndarray:
    centres = (np.arange(pixels) - (pixels - 1) / 2) * size_mm
    return np.abs(centres) <= crop_mm / 2
