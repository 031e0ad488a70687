"""A synthetic short-axis cine-MRI data set in ACDC's native layout, for demonstrations and tests without patients.

Everything is drawn from `numpy.random.default_rng([seed, patient])`: a patient does not depend on how many are written,
and the same seed gives the same bytes on the same machine and libraries.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from compress.data.phantom_anatomy import GROUPS, Heart, sample_heart
from compress.data.phantom_imaging import acquire, paint_fat, paint_heart, sample_coil
from compress.data.phantom_marker import DESCRIPTION, MARKER
from compress.data.phantom_marker import is_phantom as is_phantom  # re-exported
from compress.data.phantom_marker import is_phantom_image as is_phantom_image
from compress.data.phantom_paint import smooth_noise
from compress.data.phantom_scan import SUBSLICES, Scan, heart_box, heart_cover, label, sample_scan, scene_grid
from compress.data.phantom_shape import Phase, solve_phases
from compress.data.phantom_thorax import paint_thorax, sample_build, sample_contrast
from compress.errors import ConfigError
from compress.files import atomic_path, write_json, write_text

VERSION = 1
"""Raised whenever the same seed gives other images."""

_THREADS = min(4, os.cpu_count() or 1)
"""Patients painted at a time: numpy and zlib leave the other threads running, and each patient takes some 100 MB."""

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ACDC's affine in every file: the spacing is in the header's zooms alone."""


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic patient. Arrays are (slice, row, column); "ED" and "ES" are the keys."""

    group: str
    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    spacing: tuple[float, float, float]
    """Millimetres along (slice, row, column)."""
    frames: dict[str, int]
    frame_count: int
    height: float
    """Centimetres."""
    weight: float
    """Kilograms."""


def write_phantom(
    folder: Path, *, patients: int, seed: int, first: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write patients `first` to `first + patients - 1` under `folder/training` and return `folder`.

    `progress(done, patients)` is called after each patient. Raises `ConfigError` on a count or number below its
    minimum and `EnvironmentFault` when the folder cannot be written.
    """
    for name, value, least in (("patients", patients, 1), ("seed", seed, 0), ("first", first, 1)):
        if value < least:
            raise ConfigError(f"Phantom {name} is {value}; it must be at least {least}.", cure=f"Raise {name}.")
    folder = Path(folder)
    write_json(
        folder / MARKER,
        {"generator": "cardiocompress phantom", "version": VERSION, "seed": seed, "first": first, "patients": patients},
    )

    def write(number: int) -> None:
        _write_patient(folder / "training" / f"patient{number:03d}", make_patient(number, seed=seed))

    pool = ThreadPoolExecutor(_THREADS)
    try:
        for done, _ in enumerate(pool.map(write, range(first, first + patients)), start=1):
            if progress is not None:
                progress(done, patients)
    finally:  # when interrupted, too: no patient is begun any more
        pool.shutdown(cancel_futures=True)
    return folder


def make_patient(number: int, *, seed: int) -> PhantomPatient:
    """Patient `number` (from 1) of the phantom with this seed; the groups take turns."""
    rng = np.random.default_rng([seed, number])
    group = GROUPS[(number - 1) % len(GROUPS)]
    heart = sample_heart(rng, group)
    scan = sample_scan(rng, heart)
    diastole, systole = solve_phases(heart, scan.sublevels, scan.gap / SUBSLICES)
    height = float(np.clip(rng.normal(170, 9), 148, 195))
    weight = float(np.clip(rng.normal(24.5, 3.5), 18, 36) * (height / 100) ** 2)
    images, masks = _image(
        rng, heart, scan, {"ED": diastole, "ES": systole}, body_fat=3 + (weight / (height / 100) ** 2 - 17) * 1.5
    )
    last = int(rng.integers(8, 16))
    return PhantomPatient(
        group=group,
        images=images,
        masks=masks,
        spacing=(scan.gap, scan.pixel, scan.pixel),
        frames={"ED": 1, "ES": last},
        frame_count=int(rng.choice([n for n in (20, 25, 28, 30, 35) if n >= 2 * last - 2])),
        height=round(height),
        weight=round(weight),
    )


def _image(
    rng: np.random.Generator, heart: Heart, scan: Scan, phases: dict[str, Phase], *, body_fat: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images and masks of both phases: one chest, one coil and one set of breath-holds, two hearts."""
    x, y = scene_grid(scan)
    tissue, build = sample_contrast(rng), sample_build(rng, body_fat, phases["ED"])
    depth = np.clip(scan.levels / heart.length, -0.2, 1.1).astype(np.float32)[:, None, None]
    chest = paint_thorax(rng, (x, y, depth), build, tissue, scan.pixel)
    coil = sample_coil(rng, scan, x, y)
    box = heart_box(scan)
    x, y, cell = x[box], y[box], 19 / scan.pixel
    warp = np.stack([1.5 * smooth_noise(rng, x.shape, (1.5, cell, cell)) for _ in range(2)])
    fatty = np.maximum(0.12 * body_fat - 1 + 3.5 * smooth_noise(rng, x.shape, (2, 1.6 * cell, 1.6 * cell)), -1.5)
    images, masks = {}, {}
    for name, phase in phases.items():
        cover = heart_cover(phase, scan, x, y, warp)
        canvas = chest.copy()
        paint_fat(canvas.crop(box), cover, fatty, scan, tissue)
        paint_heart(rng, canvas.crop(box), cover, phase, scan, tissue)
        images[name], masks[name] = acquire(rng, canvas, coil), np.zeros(scan.shape, np.uint8)
        masks[name][box] = label(cover, scan.pixel)
    return images, masks


def _write_patient(folder: Path, patient: PhantomPatient) -> None:
    """Info.cfg, two images and two masks, in ACDC's names."""
    for phase, frame in patient.frames.items():
        stem = f"{folder.name}_frame{frame:02d}"
        write_image(folder / f"{stem}.nii.gz", patient.images[phase], patient.spacing)
        write_image(folder / f"{stem}_gt.nii.gz", patient.masks[phase], patient.spacing)
    lines = {
        "ED": patient.frames["ED"],
        "ES": patient.frames["ES"],
        "Group": patient.group,
        "Height": patient.height,
        "NbFrame": patient.frame_count,
        "Weight": patient.weight,
    }
    write_text(folder / "Info.cfg", "".join(f"{key}: {value}\n" for key, value in lines.items()))


def write_image(path: Path, array: np.ndarray, spacing: tuple[float, float, float]) -> None:
    """Write (slice, row, column) as NIfTI (x, y, z); no time of day and no file name enters the gzip header."""
    image = nib.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), AFFINE)
    image.header.set_zooms(spacing[::-1])
    image.header["descrip"] = DESCRIPTION
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
