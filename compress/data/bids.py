"""BIDS: sub-X/[ses-Y/]TYPE/sub-X_..._SUFFIX.nii.gz, with masks of the same name in derivatives/PIPELINE/ or beside it.

Gorgolewski et al., Scientific Data 3:160044, 2016. A mask's name ends in _dseg or _mask; the table dseg.tsv (index,
name) says what its values mean. ED and ES are told by the name: ..._phase-ED_..., ..._acq-saxED_... or the suffix ED.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from compress.data.label_values import structures_of
from compress.data.scan import Scan, image_names, image_stem, unusable
from compress.data.volume import ACDC_LABELS, Case
from compress.errors import DataError, InputError
from compress.outside import read_text

LOOKS_LIKE = "BIDS: sub-X/TYPE/sub-X_....nii.gz with masks derivatives/PIPELINE/sub-X/TYPE/sub-X_..._dseg.nii.gz"
IMAGES_LOOK_LIKE = "BIDS sub-X/TYPE/sub-X_...nii.gz"
MAX_TABLE = 2**20
"""Bytes of dseg.tsv."""

_SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")
_MASK = re.compile(r"(?P<image>.+?)(_(space|desc|label|seg|res)-[0-9A-Za-z]+)*_(dseg|mask|seg)")
_LONG_AXIS = re.compile(r"_((acq|view|rec|desc)-(lax|la|[234]ch|long)[0-9A-Z]*|[234]ch)(?=_|$)", re.IGNORECASE)
_PHASE = re.compile(r"[_-](sax?|short)?(?P<phase>ED|ES)(?=_|$)")
_SUFFIX = re.compile(r"_[A-Za-z0-9]+$")
_FROM = "file name"


def matches(folder: Path) -> bool:
    """Whether `folder` is a BIDS root, or one of its subjects."""
    return any(_images(subject) for subject in _subjects(folder))


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """Every image below its subjects that is no long-axis view by its name; sessions are patients of their own.

    Raises `DataError` for a separate `label_dir` and a damaged dseg.tsv.
    """
    if label_dir is not None and label_dir.resolve() != folder.resolve():
        raise DataError(f"{folder} is in BIDS layout, which says where masks lie.", cure="Leave label_dir null.")
    found, root = Scan(), folder.parent if _SUBJECT.fullmatch(folder.name) else folder
    labels, others, told = _labels(root)
    for subject in _subjects(folder):
        masks = _masks(root, subject.name)
        for path in _images(subject):
            stem = image_stem(path) or path.name
            if _LONG_AXIS.search(stem):
                found.notes.append(f"{path.name} was left out: a long-axis view by its name.")
                continue
            try:
                label = _mask_of(path, masks, require_masks)
            except DataError as fault:
                found.fault(path, fault, study=_study(path))
                continue
            phase = _PHASE.search(stem.removeprefix(subject.name))
            found.cases.append(
                Case(
                    _study(path),
                    phase["phase"] if phase else "",
                    path,
                    label,
                    labels=labels,
                    others=others,
                    labels_told=told,
                    phase_from=_FROM,
                )
            )
    return found


def person(patient: str) -> str:
    """Whose session it is: "sub-01" of "sub-01_ses-2"; other names are their own."""
    subject, session, _ = patient.partition("_ses-")
    return subject if session and _SUBJECT.search(subject) else patient


def mask_stem(case: Case) -> str:
    """What a mask is called: as its image."""
    return image_stem(case.image_path) or case.name


def _subjects(folder: Path) -> list[Path]:
    if _SUBJECT.fullmatch(folder.name):
        return [folder]
    return [child for child in sorted(folder.iterdir()) if _SUBJECT.fullmatch(child.name) and child.is_dir()]


def _images(subject: Path) -> list[Path]:
    """Below the subject's folder, in their names' order; masks, which may lie beside them, left out."""
    every = (place / name for place in _places(subject) for name in image_names(place))
    return [p for p in every if p.name.startswith(f"{subject.name}_") and not _MASK.fullmatch(image_stem(p) or "")]


def _places(subject: Path) -> Iterator[Path]:
    """sub-X/, its types and sessions."""
    yield subject
    for child in sorted(subject.iterdir()):
        if child.is_dir() and not child.is_symlink():
            yield child
            if child.name.startswith("ses-"):
                yield from (each for each in sorted(child.iterdir()) if each.is_dir() and not each.is_symlink())


def _study(path: Path) -> str:
    parts = (image_stem(path) or path.name).split("_")
    return "_".join(part for part in parts[:2] if part == parts[0] or part.startswith("ses-"))


def _masks(root: Path, subject: str) -> dict[str, list[Path]]:
    """The name of an image -> the masks that belong to it, of every pipeline and beside the images."""
    found: dict[str, list[Path]] = {}
    pipelines = [root, *sorted(root.glob("derivatives")), *sorted(root.glob("derivatives/*"))]
    for place in (place / subject for place in pipelines if (place / subject).is_dir()):
        for path in (each / name for each in _places(place) for name in image_names(each)):
            if named := _MASK.fullmatch(image_stem(path) or ""):
                for image in {named["image"], _SUFFIX.sub("", named[0])}:
                    found.setdefault(image, []).append(path)
    return found


def _mask_of(path: Path, masks: dict[str, list[Path]], require: bool) -> Path | None:
    if fault := unusable(path):
        raise fault
    stem = image_stem(path) or path.name
    named = list(dict.fromkeys([*masks.get(stem, []), *masks.get(_SUFFIX.sub("", stem), [])]))
    if len(named) > 1:
        raise DataError(f"{path} has several masks: {named[0]} and {named[1]}.", cure="Leave one of them.")
    if not named and require:
        raise DataError(f"{path} has no mask {_SUFFIX.sub('', stem)}_dseg.nii.gz in derivatives/.", cure="Add it.")
    return named[0] if named else None


def _labels(root: Path) -> tuple[dict[str, int], dict[str, int], bool]:
    """Structures, others, and whether a dseg.tsv tells them; ACDC's values where none does."""
    for path in [*sorted(root.glob("*dseg.tsv")), *sorted(root.glob("derivatives/**/*dseg.tsv"))]:
        try:
            rows = list(csv.DictReader(read_text(path, most=MAX_TABLE).splitlines(), delimiter="\t"))
            named = {str(row["name"]): int(str(row["index"])) for row in rows}
        except (InputError, csv.Error, KeyError, ValueError) as fault:
            raise DataError(f"{path} is no table of index and name.", cure="BIDS tells how dseg.tsv looks.") from fault
        return (*structures_of(named, path), True)
    return dict(ACDC_LABELS), {}, False
