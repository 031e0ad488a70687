"""What prediction was pointed at: one file, a folder in a known layout, or a folder of images. No mask is read."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from compress.data import nested
from compress.data.dicom import layout as dicom
from compress.data.images import image_of
from compress.data.layouts import LAYOUTS, Layout, contents
from compress.data.phantom_marker import is_phantom, is_phantom_image
from compress.data.scan import Problem, Scan, image_names, image_stem, stays_inside, unusable
from compress.data.volume import PHASES, Case, Readable
from compress.errors import DataError

_MASK = re.compile(r".*_(gt|mask|seg|labels?)", re.IGNORECASE)
_PHASE = re.compile(r"(?P<study>.+)[-_. ](?P<phase>ED|ES)", re.IGNORECASE)
_CONVERT = "Convert other formats to .nii.gz first."
_CURES = {
    ".onnx": "The model comes first: predict MODEL IMAGE.",
    ".img": "Give the .hdr beside it.",
    ".dcm": "Give the folder that holds the whole examination.",
}


@dataclass(frozen=True)
class Source:
    """One image (3D or cine) to be segmented, and what its mask will be called."""

    study: str
    """Patient or case; one report each."""
    path: Path
    output: str
    """The mask's file name."""
    phase: str
    """"ED", "ES" or "" when unknown."""
    phantom: bool
    """Whether the image is synthetic."""
    image: Readable
    """Where its voxels lie."""
    phase_from: str = "Info.cfg"
    """What told the phase, in words."""


@dataclass(frozen=True)
class Sources:
    """All images that were found, and what is wrong with the others."""

    kind: str
    """"file", "folder" or a name in `LAYOUTS`."""
    studies: dict[str, tuple[Source, ...]]
    """Study to its images, both sorted (ED before ES)."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    """What was left out on purpose, and what else a person should know."""


def find_sources(path: Path, *, recursive: bool = False) -> Sources:
    """What is to be segmented at `path`; one bad patient becomes a problem and hides no other.

    `recursive`: in a folder, also what lies anywhere below it, called by the folders that lead to it.

    Raises `DataError` when there is nothing: a missing path, a file that is no NIfTI by its name, a folder in no known
    layout, one that holds two halves; and when masks lie among the images or two images would give the same output.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (a link keeps its own name; "." is an ACDC patient by its name)
    try:
        if path.is_dir():
            found = _nested(path) if recursive else _in_folder(path)
        elif path.is_file():
            found = _one_dicom(path) or Sources("file", _by_study([_one_file(path)]), ())
        else:
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise DataError(f"{path} {what}.", cure="Give an image, or a folder that holds images.")
    except OSError as fault:
        raise DataError(f"{path} cannot be read: {fault.strerror or fault}.", cure="Check its permissions.") from fault
    _refuse_equal_outputs(source for sources in found.studies.values() for source in sources)
    return found


def _one_dicom(path: Path) -> Sources | None:
    """The scans in one DICOM file, None for a file of another kind."""
    scan = dicom.scan_file(path)
    if scan is None:
        return None
    return _sources("dicom", scan, dicom.mask_stem, phantom=is_phantom(path.parent))


def _one_file(path: Path) -> Source:
    """Named as its folder would name it, where its name and what lies beside it tell."""
    if fault := unusable(path):
        raise fault
    stem, phantom = _stem(path), is_phantom(path.parent)
    for layout in LAYOUTS.values():
        if (case := layout.case_of(path)) is not None:
            return _from_case(case, layout.mask_stem(case), phantom)
    return _from_case(Case(stem, "", path, None), stem, phantom)


def _stem(path: Path) -> str:
    stem = image_stem(path)
    if stem is None:
        cure = _CURES.get(path.suffix.lower(), _CONVERT)
        raise DataError(f"{path} is no image by its name (.nii.gz, .nii, .mha, .nrrd or .hdr).", cure=cure)
    return stem


def _in_folder(folder: Path) -> Sources:
    for kind, layout in {**LAYOUTS, "folder": _PLAIN}.items():
        if layout.holds_images(folder):
            found, phantom = stays_inside(layout.find_images(folder), folder), is_phantom(folder)
            if not found.cases and not found.problems:
                raise DataError(f"{folder} is in layout {kind}, but holds no images.", cure=_known())
            return _sources(kind, found, layout.mask_stem, phantom=phantom)
    deeper = "--recursive looks into its folders. " if any(child.is_dir() for child in folder.iterdir()) else ""
    what = f"{folder} holds no images in a known layout: it holds {contents(folder)}."
    raise DataError(what, cure=deeper + _known())


def _nested(folder: Path) -> Sources:
    """What every folder from here down holds; a fault of one hides no other."""
    layouts = [layout for name, layout in LAYOUTS.items() if name != "dicom"]

    def has(place: Path) -> bool:
        return any(row.holds_images(place) for row in [*layouts, _PLAIN])

    def goes_on(place: Path) -> bool:
        return not any(row.holds_images(place) for row in layouts)

    places = sorted({*nested.places(folder, has, goes_on), *dicom.examinations(folder)})
    if not places:
        raise DataError(f"Nothing below {folder} is in a known layout: it holds {contents(folder)}.", cure=_known())
    studies: dict[str, tuple[Source, ...]] = {}
    problems: list[Problem] = []
    notes: list[str] = []
    for place in places:
        before = nested.prefix(place, folder, len(places))
        try:
            found = _in_folder(place)
        except DataError as fault:
            problems.append(Problem(place, str(fault)))
            continue
        for study, images in found.studies.items():
            renamed = (replace(i, study=before + study, output=before + i.output) for i in images)
            studies[before + study] = (*studies.get(before + study, ()), *renamed)
        problems += found.problems
        notes += found.notes
    return Sources("nested", studies, tuple(problems), tuple(notes))


def _sources(kind: str, found: Scan, stem: Callable[[Case], str], *, phantom: bool) -> Sources:
    sources = [_from_case(case, stem(case), phantom) for case in found.cases]
    return Sources(kind, _by_study(sources), tuple(found.problems), tuple(found.notes))


def _from_case(case: Case, stem: str, phantom: bool) -> Source:
    phantom = phantom or is_phantom_image(case.image_path)
    name = f"{stem}.nii.gz"
    return Source(case.patient, case.image_path, name, case.phase, phantom, image_of(case), case.phase_from)


def _scan_plain(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    found = Scan()
    for path in (folder / name for name in image_names(folder)):
        stem = _stem(path)
        if _MASK.fullmatch(stem):
            raise DataError(
                f"{path} is a mask by its name, among the images of {folder}.",
                cure="Move the masks (_gt, _mask, _seg, _label) to another folder.",
            )
        if fault := unusable(path):
            found.fault(path, fault)
        else:
            found.cases.append(Case(stem, "", path, None))
    return Scan(_pairs_by_name(found.cases), found.problems)


def _pairs_by_name(cases: list[Case]) -> list[Case]:
    """X_ED and X_ES, when both are there, are the two phases of X, unless X itself is there too."""
    named = {case.patient: match for case in cases if (match := _PHASE.fullmatch(case.patient))}
    keys = [(match["study"], match["phase"].upper()) for match in named.values()]
    alone = {case.patient for case in cases}
    whole = {study for study, _ in keys if study not in alone and all(keys.count((study, p)) == 1 for p in PHASES)}
    return [
        replace(case, patient=match["study"], phase=match["phase"].upper(), phase_from="file name")
        if (match := named.get(case.patient)) and match["study"] in whole
        else case
        for case in cases
    ]


_PLAIN = Layout(
    matches=lambda folder: any(True for _ in image_names(folder)),
    scan=_scan_plain,
    looks_like="images that end in .nii.gz, .nii, .mha, .nrrd or .hdr",
)
"""Any other folder of images; training cannot read it, as nothing says which mask belongs to which image."""


def _known() -> str:
    looks = [layout.images_look_like or layout.looks_like for layout in LAYOUTS.values()]
    return f"Known: {'; '.join(looks)}; or {_PLAIN.looks_like}. {_CONVERT}"


def _by_study(sources: list[Source]) -> dict[str, tuple[Source, ...]]:
    studies: dict[str, tuple[Source, ...]] = {}
    for source in sorted(sources, key=lambda source: (source.study, source.phase, source.path.name)):
        studies[source.study] = (*studies.get(source.study, ()), source)
    return studies


def _refuse_equal_outputs(sources: Iterable[Source]) -> None:
    owners: dict[str, Path] = {}
    for source in sources:
        # On a share that does not tell cases apart, the second mask would replace the first.
        name = unicodedata.normalize("NFC", source.output).casefold()
        other = owners.setdefault(name, source.path)
        if other != source.path:
            raise DataError(
                f"{other} and {source.path} would both give {source.output}, where upper case is no other name.",
                cure="Rename one of them.",
            )
