"""The M&Ms challenge's layout: CODE/CODE_sa.nii.gz, a cine, CODE_sa_gt.nii.gz beside it, and a table of ED and ES.

Campello et al., IEEE TMI 40(12):3543-3554, 2021. Label values: LV 1, MYO 2, RV 3. Frames are counted from 0.
"""

from __future__ import annotations

import csv
from pathlib import Path

from compress.data.images import FrameOf
from compress.data.scan import Scan, image_named, unusable
from compress.data.volume import PHASES, Case
from compress.errors import DataError, InputError
from compress.outside import read_text

LOOKS_LIKE = "M&Ms: CODE/CODE_sa.nii.gz with CODE_sa_gt.nii.gz, and the table (.csv) with ED and ES in a folder above"
IMAGES_LOOK_LIKE = "M&Ms CODE/CODE_sa.nii.gz, with the table of ED and ES in a folder above"

LABELS = {"RV": 3, "MYO": 2, "LV": 1}
MAX_TABLE = 2**22
"""Bytes of the table; M&Ms' has 20 kB."""
_CODE = "External code"
_ABOVE = 4
"""Folders above the patients in which the table may lie: Training/Labeled/ is two down."""


def matches(folder: Path) -> bool:
    """Whether `folder` is a patient, or holds one."""
    return bool(_patients(folder))


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """The ED and ES frames of every patient, each a case of its own.

    Raises `DataError` for a separate `label_dir`, and when the table is missing or damaged.
    """
    if label_dir is not None and label_dir.resolve() != folder.resolve():
        raise DataError(
            f"{folder} is in M&Ms' layout, whose masks lie beside the images.", cure="Leave label_dir null."
        )
    table, found = _read_table(folder), Scan()
    for patient in _patients(folder):
        try:
            found.cases += _cases(patient, table, require_masks)
        except DataError as fault:
            found.fault(patient, fault)
    return found


def mask_stem(case: Case) -> str:
    """What a mask is called: by patient and phase."""
    return case.name


def _cases(patient: Path, table: dict[str, dict[str, str]], require_masks: bool) -> list[Case]:
    image, label = _existing(patient, "sa"), _existing(patient, "sa_gt")
    if image is None:
        raise DataError(f"{patient} holds no {patient.name}_sa.nii.gz.")
    if fault := unusable(image):
        raise fault
    if label is None and require_masks:
        raise DataError(f"{patient / patient.name}_sa_gt.nii.gz is missing: the mask of {image.name}.", cure="Add it.")
    if (row := table.get(patient.name)) is None:
        raise DataError(f"{patient} is not in the table, which names its ED and ES.", cure="Complete the table.")
    cases = []
    for phase in PHASES:
        if not (told := row.get(phase, "").strip()).isdecimal() or len(told) > 4:
            raise DataError(f"The table gives '{told[:20]}' as {phase} frame of {patient.name}; expected a number.")
        mask = FrameOf(label, int(told)) if label is not None else None
        group = row.get("Pathology", "").strip() or None
        place = FrameOf(image, int(told))
        cases.append(Case(patient.name, phase, image, label, group, dict(LABELS), place, mask, "the table"))
    return cases


def _read_table(folder: Path) -> dict[str, dict[str, str]]:
    """Code -> its row. Raises `DataError` when no folder from here up holds one table, or it is damaged."""
    here = folder.resolve()
    for place in (here, *list(here.parents)[:_ABOVE]):
        for path in sorted(place.glob("*.csv")):
            try:
                rows = list(csv.DictReader(read_text(path, most=MAX_TABLE).splitlines()))
            except (InputError, csv.Error) as fault:
                raise DataError(f"{path} cannot be read as the table of ED and ES: {fault}") from fault
            if rows and {_CODE, *PHASES} <= set(rows[0]):
                return {str(row[_CODE]).strip(): {k: v or "" for k, v in row.items() if k} for row in rows}
    raise DataError(
        f"No table (.csv) with the columns {_CODE}, ED and ES lies in or above {folder}.",
        cure="Put M&Ms' own table beside the patients: it says which frames are ED and ES.",
    )


def _existing(patient: Path, what: str) -> Path | None:
    return image_named(patient, f"{patient.name}_{what}")


def _patients(folder: Path) -> list[Path]:
    if _existing(folder, "sa") is not None:
        return [folder]
    return [child for child in sorted(folder.iterdir()) if child.is_dir() and _existing(child, "sa") is not None]
