"""Which data set layouts are known, which one a folder is in, and how a case becomes a checked volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from compress.data import acdc, bids, cut_out, mnms, nested, nnunet_raw
from compress.data.dicom import layout as dicom
from compress.data.images import image_paths, read_case_image, read_case_mask
from compress.data.nifti import NiftiArray
from compress.data.scan import Problem, Scan, image_stem, stays_inside
from compress.data.volume import Case, Volume
from compress.data.work import check_grey
from compress.errors import DataError

SPACING_TOLERANCE = 0.01
"""Relative difference between an image's and its mask's voxel sizes that is taken for rounding."""


def _file_stem(case: Case) -> str:
    return image_stem(case.image_path) or case.name


@dataclass(frozen=True)
class Layout:
    """How one data set layout is recognised and read: by training with its masks, by prediction without.

    The last five say where prediction differs; by default it reads what training reads.
    """

    matches: Callable[[Path], bool]
    scan: Callable[[Path, Path | None, bool], Scan]
    """(folder, label_dir, require_masks) -> cases and faults; raises `DataError` for faults of the whole folder."""
    looks_like: str
    """One line for the error message when nothing matches."""
    matches_images: Callable[[Path], bool] | None = None
    scan_images: Callable[[Path], Scan] | None = None
    images_look_like: str = ""
    case_of: Callable[[Path], Case | None] = lambda path: None
    """One image file -> its case by its name and what lies beside it; None where they do not tell."""
    mask_stem: Callable[[Case], str] = _file_stem
    """What a case's mask is called, without .nii.gz."""

    def holds_images(self, folder: Path) -> bool:
        """Whether a folder given to prediction is in this layout."""
        return (self.matches_images or self.matches)(folder)

    def find_images(self, folder: Path) -> Scan:
        """The cases for prediction, for which no mask has to be there; raises what `scan` raises."""
        return self.scan_images(folder) if self.scan_images else self.scan(folder, None, False)


def _cut_out(found: cut_out.CutOut) -> Layout:
    return Layout(
        found.matches,
        found.scan,
        found.looks_like,
        scan_images=found.scan_images,
        images_look_like=found.images_look_like,
        mask_stem=found.mask_stem,
    )


LAYOUTS: dict[str, Layout] = {
    "acdc": Layout(
        acdc.matches,
        acdc.scan,
        acdc.LOOKS_LIKE,
        scan_images=acdc.scan_images,
        images_look_like=acdc.IMAGES_LOOK_LIKE,
        case_of=acdc.case_of,
        mask_stem=acdc.mask_stem,
    ),
    "nnunet_raw": Layout(
        nnunet_raw.matches,
        nnunet_raw.scan,
        nnunet_raw.LOOKS_LIKE,
        matches_images=nnunet_raw.matches_images,
        scan_images=nnunet_raw.scan_images,
        images_look_like=nnunet_raw.IMAGES_LOOK_LIKE,
        case_of=nnunet_raw.case_of,
        mask_stem=nnunet_raw.mask_stem,
    ),
    "ukbb": _cut_out(cut_out.UKBB),
    "mnms2": _cut_out(cut_out.MNMS2),
    "mnms": Layout(
        mnms.matches, mnms.scan, mnms.LOOKS_LIKE, images_look_like=mnms.IMAGES_LOOK_LIKE, mask_stem=mnms.mask_stem
    ),
    "bids": Layout(bids.matches, bids.scan, bids.LOOKS_LIKE, images_look_like=bids.IMAGES_LOOK_LIKE),
    "dicom": Layout(
        dicom.matches, dicom.scan, dicom.LOOKS_LIKE, scan_images=dicom.scan_images, mask_stem=dicom.mask_stem
    ),
}
"""To add a layout, add its row: `train`, `data check` and `predict` then read it. The first that matches counts."""


def detect_layout(image_dir: Path) -> str:
    """The name in `LAYOUTS` of the layout that `image_dir` is in.

    Raises `DataError` for a missing folder, or one in no known layout, saying what was found.
    """
    folder = Path(image_dir)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"The data folder {folder} {what}.", cure="Give the folder that holds the images.")
    for name, layout in LAYOUTS.items():
        if layout.matches(folder):
            return name
    known = "; ".join(layout.looks_like for layout in LAYOUTS.values())
    below = any(True for _ in nested.places(folder, _in_a_layout, lambda _: False))
    deeper = "Folders further down are read with --recursive (data.recursive=true). " if below else ""
    raise DataError(f"{folder} is in no known layout: it holds {contents(folder)}.", cure=f"{deeper}Known: {known}.")


def scan_cases(
    image_dir: Path, *, label_dir: Path | None = None, require_masks: bool = True, recursive: bool = False
) -> Scan:
    """Every case and every fault in `image_dir`; raises `DataError` only for faults of the whole folder.

    `recursive`: of every data set below it, the patients called by the folders that lead to them.
    """
    if not recursive:
        return _scan_one(Path(image_dir), label_dir, require_masks)
    if label_dir is not None:
        raise DataError(f"{label_dir} holds masks of one folder; nested ones have their own.", cure="Leave it.")
    folder, every = Path(image_dir), Scan()
    if not folder.is_dir():
        detect_layout(folder)
    places = list(nested.places(folder, _in_a_layout, lambda _: False))
    for place in places:
        before = nested.prefix(place, folder, len(places))
        try:
            found = _scan_one(place, None, require_masks)
        except DataError as fault:
            every.fault(place, fault)
            continue
        every.cases += [replace(case, patient=before + case.patient) for case in found.cases]
        every.problems += found.problems
        every.notes += found.notes
    if not places:
        detect_layout(folder)  # says what is known
    return every


def layouts_below(folder: Path) -> str:
    """The names of the layouts in and below a folder, for people."""
    return ", ".join(sorted({detect_layout(place) for place in nested.places(folder, _in_a_layout, lambda _: False)}))


def _in_a_layout(folder: Path) -> bool:
    """Of those with masks: looking for DICOM would read every file below."""
    return any(layout.matches(folder) for name, layout in LAYOUTS.items() if name != "dicom")


def _scan_one(image_dir: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    layout = LAYOUTS[detect_layout(image_dir)]
    labels = Path(label_dir) if label_dir is not None else None
    found = layout.scan(Path(image_dir), labels, require_masks)
    found = stays_inside(found, Path(image_dir), labels)
    return Scan(found.sorted_cases(), found.problems, found.notes)


def find_cases(
    image_dir: Path, *, label_dir: Path | None = None, require_masks: bool = True, recursive: bool = False
) -> list[Case]:
    """The cases in `image_dir`, sorted by patient, then phase; the layout is seen from the folder.

    Raises `DataError` for a missing folder, an unknown layout, or the first faulty patient.
    """
    found = scan_cases(image_dir, label_dir=label_dir, require_masks=require_masks, recursive=recursive)
    if found.problems:
        others = len(found.problems) - 1
        more = f" ({others} more such fault{'s' if others > 1 else ''} in this folder.)" if others else ""
        raise DataError(found.problems[0].message + more)
    if not found.cases:
        raise DataError(f"{image_dir} holds no cases.")
    return found.cases


def sound_cases(
    image_dir: Path, *, label_dir: Path | None = None, recursive: bool = False
) -> tuple[list[Case], list[Problem]]:
    """The cases whose image and mask `read_volume` can read, all of them read once, and what is wrong with the others.

    Raises `DataError` for a missing folder and an unknown layout.
    """
    found = scan_cases(image_dir, label_dir=label_dir, recursive=recursive)
    sound, problems = [], list(found.problems)
    for case in found.cases:
        try:
            read_volume(case)
        except DataError as fault:
            problems.append(Problem(case.image_path, str(fault), case.patient))
        else:
            sound.append(case)
    return sound, problems


def read_volume(case: Case, *, require_mask: bool = True) -> Volume:
    """Read one case's image and, when it has one, its mask.

    Whatever values the data set uses (`case.labels`), `Volume.mask` always holds those of `case.values`: by default
    ACDC's, RV 1, MYO 2, LV 3. Voxels of `case.others` are background. Raises `DataError` for an unreadable file, a
    constant image or one whose values overflow, or a mask that is missing, does not lie on the image's grid or holds
    unknown labels.
    """
    image = read_case_image(case)
    channels = image.array if image.array.ndim == 4 else image.array[None]
    for path, channel in zip(image_paths(case), channels, strict=True):
        if channel.min() == channel.max():
            raise DataError(f"{path} is constant: every voxel is {channel.flat[0]:g}.")
        check_grey(channel, str(path))
    mask = None
    if case.label_path is not None:
        labels = read_case_mask(case)
        _check_same_grid(image, labels, case)
        mask = _to_acdc_labels(labels.array, case)
    elif require_mask:
        raise DataError(f"{case.image_path} has no mask.", cure="Add it, or use the image for prediction only.")
    return Volume(case=case, image=image.array, mask=mask, spacing=image.spacing_mm, affine=image.affine)


def _check_same_grid(image: NiftiArray, mask: NiftiArray, case: Case) -> None:
    cure = f"A mask lies on its image's grid ({case.image_path.name})."
    if mask.array.shape != (shape := image.array.shape[-3:]):
        raise DataError(f"{case.label_path} has shape {mask.array.shape} (z, y, x), its image {shape}.", cure=cure)
    if not np.allclose(mask.spacing_mm, image.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
        raise DataError(
            f"{case.label_path} has spacing {_shown(mask.spacing_mm)}, its image {_shown(image.spacing_mm)}.",
            cure=cure,
        )
    turned, upright = nib.aff2axcodes(mask.affine), nib.aff2axcodes(image.affine)
    if turned != upright:
        raise DataError(f"{case.label_path} is oriented {_axes(turned)}, its image {_axes(upright)}.", cure=cure)


def _to_acdc_labels(mask: np.ndarray, case: Case) -> np.ndarray:
    known = {0, *case.labels.values(), *case.others.values()}
    unknown = [int(value) for value in np.unique(mask) if int(value) not in known]
    if unknown:
        allowed = ", ".join(f"{value} {name}" for name, value in case.labels.items())
        raise DataError(f"{case.label_path} holds unknown labels {unknown}; allowed: 0 background, {allowed}.")
    table = np.zeros(256, dtype=np.uint8)
    for name, value in case.labels.items():
        table[value] = case.values[name]
    return table[mask]


def _shown(spacing: tuple[float, float, float]) -> str:
    return f"({', '.join(f'{size:g}' for size in spacing)}) mm"


def _axes(codes: tuple[str | None, ...]) -> str:
    return "".join(code or "?" for code in codes)


def contents(folder: Path) -> str:
    """What a folder holds, in a few words for a message."""
    names = sorted(f"{child.name}/" if child.is_dir() else child.name for child in folder.iterdir())
    if not names:
        return "nothing"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
