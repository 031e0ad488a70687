"""DICOM as `predict` and `data convert` meet it: one examination, or a folder with one in each of its subfolders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compress.data.dicom.examination import read_examination
from compress.data.dicom.files import files_below, holds_dicom, is_dicom
from compress.data.dicom.header import read_instance
from compress.data.scan import Scan, image_names
from compress.data.volume import Case
from compress.errors import DataError

LOOKS_LIKE = "DICOM files of an examination, or a subfolder of them for each patient"

_UNFIT = re.compile(r"[^\w.-]+")
_TRIES = 8
"""Files that are looked at to know whose examination a folder holds."""


def matches(folder: Path) -> bool:
    """Whether DICOM files lie in a folder, or below one that holds no images of another kind."""
    if any(is_dicom(path) for path in folder.iterdir()):
        return True
    return not any(image_names(folder)) and holds_dicom(folder)


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """Always raises `DataError`: DICOM images have no masks."""
    raise DataError(
        f"{folder} holds DICOM, which has no masks to train with or to check.",
        cure="predict segments it; data convert makes NIfTI of it.",
    )


def scan_images(folder: Path) -> Scan:
    """The short-axis stacks of every examination below `folder`, each a study of its own.

    Raises `DataError` when images of another kind lie among the files. A faulty examination hides no other.
    """
    if others := list(image_names(folder)):
        raise DataError(f"{folder} holds both DICOM and {others[0]}.", cure="Move one kind to another folder.")
    found = Scan()
    units = list(examinations(folder))
    for unit in units:
        name = folder.name if len(units) == 1 else "_".join(unit.relative_to(folder).parts)
        before = len(found.notes)
        _add(found, name, unit)
        if len(units) > 1:
            found.notes[before:] = [f"{name}: {note}" for note in found.notes[before:]]
    return found


def scan_file(path: Path) -> Scan | None:
    """What one DICOM file holds (an enhanced one may hold a whole scan); None for a file of another kind."""
    if not is_dicom(path):
        return None
    found = Scan()
    _add(found, path.stem if path.suffix.lower() == ".dcm" else path.name, path.parent, [path])
    return found


def mask_stem(case: Case) -> str:
    """What a case's mask is called: the folder's name."""
    return case.patient


def _add(found: Scan, name: str, unit: Path, files: list[Path] | None = None) -> None:
    name = _UNFIT.sub("_", name) or "study"
    try:
        read = read_examination(unit, files)
    except DataError as fault:
        found.fault(unit, fault)
        return
    found.notes += read.notes
    for fault in read.faults:
        found.fault(unit, fault)
    place = unit if files is None else files[0]
    alone = len(read.stacks) + len(read.faults) == 1
    for stack in read.stacks:
        study = name if alone else f"{name}_series{stack.numbers[0]}"
        found.cases.append(Case(study, "", place, None, image=stack))


def examinations(folder: Path) -> Iterator[Path]:
    """The folders that each hold one examination, its series together or in subfolders of their own."""
    if any(is_dicom(path) for path in folder.iterdir()):
        yield folder
        return
    children = [child for child in sorted(folder.iterdir()) if _is_place(child)]
    if len(children) > 1 and len({_whose(child) for child in children}) == 1:
        yield folder
        return
    for child in children:
        yield from examinations(child)


def _is_place(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and holds_dicom(path)


def _whose(folder: Path) -> str:
    """The examination that a folder's first readable image belongs to; the folder itself where none is readable."""
    tried = 0
    for path in files_below(folder):
        if not is_dicom(path):
            continue
        try:
            read = read_instance(path)
        except DataError:
            read = ""
        if not isinstance(read, str):
            return read.study
        if (tried := tried + 1) == _TRIES:
            break
    return str(folder)
