"""The M&Ms challenge's layout: CODE/CODE_sa.nii.gz, a cine, CODE_sa_gt.nii.gz beside it, and a table of ED and ES.

Campello et al., IEEE TMI 40(12):3543-3554, 2021. Label values: LV 1, MYO 2, RV 3. Frames are counted from 0.
"""

from __future__ import annotations

import csv
import re
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
_CODES = ("externalcode", "code", "subjectcode", "subject", "patient")
"""What the column of the patients' names is called, in small letters alone."""
_FRAME = re.compile(r"(?P<frame>\d{1,4})(\.0*)?")
"""Spreadsheets and pandas write whole numbers with a point where a column has gaps."""
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
    group = row.get("pathology") or None
    for phase in PHASES:
        told = row.get(phase.lower(), "")
        if not (named := _FRAME.fullmatch(told)):
            raise DataError(f"The table gives '{told[:20]}' as {phase} frame of {patient.name}; expected a number.")
        mask = FrameOf(label, int(named["frame"])) if label is not None else None
        place = FrameOf(image, int(named["frame"]))
        cases.append(Case(patient.name, phase, image, label, group, dict(LABELS), place, mask, "the table"))
    return cases


def _read_table(folder: Path) -> dict[str, dict[str, str]]:
    """Code -> its row. Raises `DataError` when no folder from here up holds one table, or it is damaged."""
    here = folder.resolve()
    for place in (here, *list(here.parents)[:_ABOVE]):
        for path in sorted(place.glob("*.csv")):
            try:
                table = _rows_by_code(read_text(path, most=MAX_TABLE))
            except (InputError, csv.Error) as fault:
                raise DataError(f"{path} cannot be read as the table of ED and ES: {fault}") from fault
            if table is not None:
                return table
    raise DataError(
        f"No table (.csv) with the columns External code, ED and ES lies in or above {folder}.",
        cure="Put M&Ms' own table beside the patients: it says which frames are ED and ES.",
    )


def _rows_by_code(text: str) -> dict[str, dict[str, str]] | None:
    """The table's rows, by small letters alone of their columns' names; None for another table.

    Its separator is the one that the first line has most of: Excel writes semicolons where the comma is the decimal
    sign.
    """
    first, *_ = text.splitlines() or [""]
    rows = csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count))
    columns = ["".join(filter(str.isalpha, name)).lower() for name in next(rows, [])]
    code = next((name for name in _CODES if name in columns), None)
    if code is None or not {phase.lower() for phase in PHASES} <= set(columns):
        return None
    found = (dict(zip(columns, map(str.strip, row), strict=False)) for row in rows)
    return {row[code]: row for row in found if row.get(code)}


def _existing(patient: Path, what: str) -> Path | None:
    return image_named(patient, f"{patient.name}_{what}")


def _patients(folder: Path) -> list[Path]:
    if _existing(folder, "sa") is not None:
        return [folder]
    return [child for child in sorted(folder.iterdir()) if child.is_dir() and _existing(child, "sa") is not None]
