"""The Volume: one 3D image of one patient at one phase, with what is needed to write a mask back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from compress.errors import DataError

if TYPE_CHECKING:
    from compress.data.frames import ImageFile

STRUCTURES = ("RV", "MYO", "LV")
VENTRICLES = ("LV", "RV")
PHASES = ("ED", "ES")
MYOCARDIAL_DENSITY = 1.05
"""Grams per millilitre."""
MAX_CHANNELS = 64
"""Of one image."""
NIFTI_ENDINGS = (".nii.gz", ".nii")
SIZES_AGREE = 0.02
"""Relative difference of two voxel sizes in one header that is taken for rounding."""
TWO_SIZES = "pixdim says voxels of {pixdim} mm, sform {sform} mm"

ACDC_LABELS: dict[str, int] = {"RV": 1, "MYO": 2, "LV": 3}
"""ACDC's label values. Other data sets differ, so the map travels with every volume and artefact."""
HEART = (*STRUCTURES, "LA", "RA")
"""Structures that are known by name, in the order in which networks number them."""


def values_of(structures: Iterable[str]) -> dict[str, int]:
    """Structure -> its value in `Volume.mask` and its channel of a network: 1, 2, ... in the order of `HEART`, then as
    they come. `values_of(ACDC_LABELS)` is `ACDC_LABELS`."""
    places = {name: place for place, name in enumerate(HEART)}
    ordered = sorted(structures, key=lambda name: places.get(name, len(places)))
    return {name: value for value, name in enumerate(ordered, start=1)}


def check_spacing(spacing_mm: Sequence[float], name: str) -> tuple[float, float, float]:
    """`spacing_mm` as three positive, finite floats (z, y, x); `DataError` about the image `name` otherwise."""
    try:
        sizes = tuple(float(size) for size in spacing_mm)
    except (TypeError, ValueError):  # a single number, or words
        sizes = ()
    if len(sizes) != 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        raise DataError(
            f"{name} has spacing {spacing_mm!r}; expected three positive lengths in mm along (z, y, x).",
            cure="Read it from the image header's zooms, in that order.",
        )
    return sizes


class Readable(Protocol):
    """Where an image lies that its path alone does not tell: one frame of a cine, a stack of DICOM files."""

    def open(self) -> ImageFile:
        """The image, its header checked; raises `DataError`."""
        ...

    def digest(self) -> str:
        """What its bytes are, in one word; raises `InputError`."""
        ...


def two_voxel_sizes(spacing_mm: Sequence[float], affine: np.ndarray) -> str:
    """What a header contradicts itself in, in words: pixdim says `spacing_mm` (z, y, x), its affine (4, 4) another.

    "" where they agree, and for an affine of unit length along all axes, which is ACDC's and no voxel size at all.
    """
    told = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)[::-1]
    if np.allclose(told, 1, atol=1e-3) or np.allclose(told, spacing_mm, rtol=SIZES_AGREE, atol=0):
        return ""
    pixdim, sform = (" x ".join(f"{size:.3g}" for size in reversed(list(sizes))) for sizes in (spacing_mm, told))
    return TWO_SIZES.format(pixdim=pixdim, sform=sform)


@dataclass(frozen=True)
class Case:
    """Where one volume lies and what is known of it before its voxels are read."""

    patient: str
    phase: str
    """"ED", "ES" or "" when unknown."""
    image_path: Path
    label_path: Path | None
    group: str | None = None
    """Disease group (NOR, MINF, DCM, HCM, RV) or None when unknown."""
    labels: dict[str, int] = field(default_factory=lambda: dict(ACDC_LABELS))
    """Structure name to label value, background (0) left out."""
    image: Readable | None = None
    """Where the image lies; None: it is the whole file at `image_path`."""
    mask: Readable | None = None
    """Where the mask lies; None: it is the whole file at `label_path`."""
    phase_from: str = "Info.cfg"
    """What told the phase, in words."""
    others: dict[str, int] = field(default_factory=dict)
    """What else the masks may hold: structures that are left out, read as background."""
    values: dict[str, int] = field(default_factory=dict)
    """What `Volume.mask` holds for each structure, whatever the files hold; by default as `values_of` numbers them."""
    labels_told: bool = False
    """Whether the data set says what its label values mean; otherwise they are assumed."""
    channels: int = 1
    """Of its image."""

    def __post_init__(self) -> None:
        if not self.values:
            object.__setattr__(self, "values", values_of(self.labels))

    @property
    def name(self) -> str:
        """A short name for messages and file names, such as "patient001_ED"."""
        return f"{self.patient}_{self.phase}" if self.phase else self.patient


@dataclass(frozen=True)
class Volume:
    """One short-axis volume. Arrays are ordered (slice, row, column) = the NIfTI axes (z, y, x)."""

    case: Case
    image: np.ndarray
    """(Z, Y, X) float32, of several channels (C, Z, Y, X)."""
    mask: np.ndarray | None
    """(Z, Y, X) uint8 label values, or None without a reference."""
    spacing: tuple[float, float, float]
    """Voxel size in mm along (z, y, x), from the header's zooms (ACDC's affine does not hold it)."""
    affine: np.ndarray
    """(4, 4) NIfTI affine, kept as found."""

    @property
    def shown(self) -> np.ndarray:
        """(Z, Y, X): the image, or the first of its channels."""
        return first_channel(self.image)


def first_channel(image: np.ndarray) -> np.ndarray:
    """(Z, Y, X) of an image (Z, Y, X) or (C, Z, Y, X): what pictures show, and what a mask is held against."""
    return image[0] if image.ndim == 4 else image
