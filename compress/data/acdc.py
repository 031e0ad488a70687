"""The ACDC challenge's own layout: one folder per patient with Info.cfg, ED and ES frames and their `_gt` masks.

Bernard et al., IEEE TMI 37(11):2514-2525, 2018, doi 10.1109/TMI.2018.2837502.
"""

from __future__ import annotations

import re
from pathlib import Path

from compress.data.scan import Scan, image_named, image_names, image_stem, refuse_both
from compress.data.volume import PHASES, Case
from compress.errors import DataError
from compress.outside import is_there, read_text

LOOKS_LIKE = "ACDC: patientNNN/ folders (or training/ with them), each with Info.cfg and patientNNN_frameXX.nii.gz"
IMAGES_LOOK_LIKE = "ACDC patientNNN/ folders with Info.cfg and patientNNN_frameXX.nii.gz"

MAX_INFO = 2**16
"""Bytes of an Info.cfg; ACDC's have about 80."""
_PATIENT = re.compile(r"patient\d+")
_FRAME = re.compile(r"(?P<patient>patient\d+)_frame(?P<frame>\d+)")
_KEYS = {name.lower(): name for name in (*PHASES, "Group")}
"""What is read of Info.cfg, however people write it."""
_TRAINING = ("training", "database/training")  # database/ is how the official archive unpacks
_TESTING = ("testing", "database/testing")


def matches(folder: Path) -> bool:
    """Whether `folder` is an ACDC root, its training or testing half, or one patient."""
    return any(_patients(folder / sub) for sub in ("", *_TRAINING, *_TESTING))


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """The ED and ES cases below `folder`; from a root the training half.

    Raises `DataError` when a separate `label_dir` was given (ACDC keeps masks beside the images), or when a root
    holds the testing half alone.
    """
    if label_dir is not None and label_dir.resolve() != folder.resolve():
        raise DataError(
            f"{folder} is in ACDC layout, whose masks lie beside the images, but label_dir is {label_dir}.",
            cure="Leave label_dir null.",
        )
    found = Scan()
    for patient in _choose_half(folder):
        try:
            info = read_info(patient / "Info.cfg")
        except DataError as error:
            found.fault(patient / "Info.cfg", error, study=patient.name)
            continue
        for phase in PHASES:
            _add_case(found, patient, phase, info, require_masks)
    return found


def scan_images(folder: Path) -> Scan:
    """As `scan` without masks, but a root that holds the testing half alone is fine. `DataError` for both halves."""
    refuse_both(folder, [half for half in (*_TRAINING, *_TESTING) if _patients(folder / half)])
    halves = ("", *_TRAINING, *_TESTING)
    return scan(next(folder / half for half in halves if _patients(folder / half)), None, False)


def case_of(path: Path) -> Case | None:
    """The case of one image by its name and the Info.cfg beside it; None where they do not tell."""
    named, info = _FRAME.fullmatch(image_stem(path) or ""), path.with_name("Info.cfg")
    if named is None or not info.is_file():
        return None
    frames = read_info(info)
    phase = next((phase for phase in PHASES if int(frames[phase]) == int(named["frame"])), "")
    return Case(named["patient"], phase, path, None)


def mask_stem(case: Case) -> str:
    """What a mask is called: by its phase; a frame of an unknown one keeps its own name."""
    return case.name if case.phase else image_stem(case.image_path) or case.name


def read_info(path: Path) -> dict[str, str]:
    """Parse `Info.cfg` (lines `Key: value`), with ED and ES checked to be two different frame numbers.

    Raises `DataError` when it is missing or damaged.
    """
    if not is_there(path):
        raise DataError(f"{path} is missing.", cure="It names the ED and ES frames: restore it from the ACDC archive.")
    lines = read_text(path, most=MAX_INFO, fault=DataError).splitlines()
    info: dict[str, str] = {}
    for key, colon, value in (line.partition(":") for line in lines):
        name = _KEYS.get(key.strip().lower(), key.strip())
        if colon and info.setdefault(name, value.strip()) != value.strip() and name in PHASES:
            raise DataError(f"{path} gives '{info[name]}' and '{value.strip()}' as {name} frame; only one can be.")
    for phase in PHASES:
        if not re.fullmatch(r"[0-9]{1,4}", info.get(phase, "")):
            got = f"'{info[phase][:20]}'" if phase in info else "nothing"
            raise DataError(f"{path} gives {got} as {phase} frame; expected a line such as '{phase}: 1'.")
    if int(info["ED"]) == int(info["ES"]):
        raise DataError(f"{path} names frame {info['ED']} as both ED and ES; they are two different frames.")
    return info


def _add_case(found: Scan, patient: Path, phase: str, info: dict[str, str], require_masks: bool) -> None:
    stem = f"{patient.name}_frame{int(info[phase]):02d}"
    image, label = _existing(patient, stem), _existing(patient, f"{stem}_gt")
    if image is None:
        missing = patient / f"{stem}.nii.gz"
        found.fault(
            missing, DataError(f"{missing} is missing; Info.cfg names it as the {phase} frame."), study=patient.name
        )
    elif label is None and require_masks:
        missing = patient / f"{stem}_gt.nii.gz"
        found.fault(
            missing, DataError(f"{missing} is missing: the mask of {image.name}.", cure="Add it."), study=patient.name
        )
    else:
        found.cases.append(Case(patient.name, phase, image, label, info.get("Group") or None))


def _existing(folder: Path, stem: str) -> Path | None:
    found = image_named(folder, stem)
    return found if found is not None and found.is_file() else None


def _choose_half(folder: Path) -> list[Path]:
    for sub in ("", *_TRAINING):
        if found := _patients(folder / sub):
            return found
    half = next((folder / sub for sub in _TESTING if _patients(folder / sub)), folder)
    raise DataError(f"{folder} holds no training/ patients.", cure=f"To use the testing half give {half}.")


def _patients(folder: Path) -> list[Path]:
    """`folder` itself when it is one patient, else the patient folders in it."""
    if not folder.is_dir():
        return []
    if _is_patient(folder):
        return [folder]
    return sorted(child for child in folder.iterdir() if _is_patient(child))


def _is_patient(folder: Path) -> bool:
    if not _PATIENT.fullmatch(folder.name) or not folder.is_dir():
        return False
    return (folder / "Info.cfg").exists() or any(name.startswith(f"{folder.name}_") for name in image_names(folder))
