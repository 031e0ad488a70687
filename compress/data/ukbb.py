"""UK Biobank's cardiac folders: one for each subject, with sa_ED, sa_ES, their label_ masks, and the whole cine sa.

Label values as in Bai et al., JCMR 20:65, 2018 (ukbb_cardiac): LV 1, MYO 2, RV 3.
"""

from __future__ import annotations

from pathlib import Path

from compress.data.scan import Scan, image_named, unusable
from compress.data.volume import PHASES, Case
from compress.errors import DataError

LOOKS_LIKE = "UK Biobank: SUBJECT/sa_ED.nii.gz and sa_ES.nii.gz with label_sa_ED.nii.gz and label_sa_ES.nii.gz"
IMAGES_LOOK_LIKE = "UK Biobank SUBJECT/sa_ED.nii.gz and sa_ES.nii.gz, or sa.nii.gz"

LABELS = {"RV": 3, "MYO": 2, "LV": 1}
_FROM = "file name"


def matches(folder: Path) -> bool:
    """Whether `folder` is a subject, or holds one."""
    return bool(_subjects(folder))


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """The ED and ES cases of every subject.

    Raises `DataError` for a separate `label_dir`: masks lie beside the images.
    """
    if label_dir is not None and label_dir.resolve() != folder.resolve():
        raise DataError(
            f"{folder} is in UK Biobank's layout, whose masks lie beside the images.", cure="Leave label_dir."
        )
    found = Scan()
    for subject in _subjects(folder):
        for phase in PHASES:
            _add(found, subject, phase, require_masks)
    return found


def scan_images(folder: Path) -> Scan:
    """ED and ES of every subject, or its cine where they were not cut out; masks do not matter."""
    found = Scan()
    for subject in _subjects(folder):
        cine = image_named(subject, "sa")
        if cine is not None and not any(image_named(subject, f"sa_{phase}") for phase in PHASES):
            _keep(found, Case(subject.name, "", cine, None))
        else:
            for phase in PHASES:
                _add(found, subject, phase, False)
    return found


def mask_stem(case: Case) -> str:
    """What a mask is called: by subject and phase."""
    return case.name


def _add(found: Scan, subject: Path, phase: str, require_masks: bool) -> None:
    image, label = image_named(subject, f"sa_{phase}"), image_named(subject, f"label_sa_{phase}")
    if image is None:
        missing = subject / f"sa_{phase}.nii.gz"
        found.fault(missing, DataError(f"{missing} is missing.", cure="Add it, or remove the subject."))
    elif label is None and require_masks:
        missing = subject / f"label_sa_{phase}.nii.gz"
        found.fault(missing, DataError(f"{missing} is missing: the mask of {image.name}.", cure="Add it."))
    else:
        _keep(found, Case(subject.name, phase, image, label, labels=dict(LABELS), phase_from=_FROM))


def _keep(found: Scan, case: Case) -> None:
    if fault := unusable(case.image_path):
        found.fault(case.image_path, fault)
    else:
        found.cases.append(case)


def _subjects(folder: Path) -> list[Path]:
    """`folder` itself when it is one subject, else the subjects in it."""
    if _is_subject(folder):
        return [folder]
    return [child for child in sorted(folder.iterdir()) if child.is_dir() and _is_subject(child)]


def _is_subject(folder: Path) -> bool:
    return any(image_named(folder, stem) for stem in ("sa", "sa_ED", "sa_ES"))
