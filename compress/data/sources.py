"""What prediction was pointed at: one file, an ACDC or nnU-Net folder, or a folder of images. No mask is read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from compress.data import acdc, nnunet_raw
from compress.data.layouts import contents
from compress.data.phantom_marker import is_phantom, is_phantom_image
from compress.data.scan import Problem, Scan
from compress.data.volume import Case
from compress.errors import DataError

_NIFTI = re.compile(r"(?P<stem>.+)\.nii(\.gz)?", re.IGNORECASE)
_MASK = re.compile(r".*_(gt|mask|seg|labels?)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ACDC_FRAME = re.compile(r"(?P<patient>patient\d+)_frame(?P<frame>\d+)")
_CONVERT = "Convert DICOM and other formats to .nii.gz first, for example with dcm2niix."
_KNOWN = (
    "Known: ACDC patientNNN/ folders with Info.cfg and patientNNN_frameXX.nii.gz; nnU-Net images CASE_0000.nii.gz, "
    f"also in imagesTr or imagesTs; or images that end in .nii.gz or .nii. {_CONVERT}"
)


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


@dataclass(frozen=True)
class Sources:
    """All images that were found, and what is wrong with the others."""

    kind: str
    """"file", "acdc", "nnunet_raw" or "folder"."""
    studies: dict[str, tuple[Source, ...]]
    """Study to its images, both sorted (ED before ES)."""
    problems: tuple[Problem, ...]


def find_sources(path: Path) -> Sources:
    """What is to be segmented at `path`; one bad patient becomes a problem and hides no other.

    Raises `DataError` when there is nothing: a missing path, a file that is no NIfTI by its name, a folder in no known
    layout, one that holds two halves; and when masks lie among the images or two images would give the same output.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (a link keeps its own name; "." is an ACDC patient by its name)
    try:
        if path.is_dir():
            found = _in_folder(path)
        elif path.is_file():
            found = Sources("file", _by_study([_one_file(path)]), ())
        else:
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise DataError(f"{path} {what}.", cure="Give an image, or a folder that holds images.")
    except OSError as fault:
        raise DataError(f"{path} cannot be read: {fault.strerror or fault}.", cure="Check its permissions.") from fault
    _refuse_equal_outputs(source for sources in found.studies.values() for source in sources)
    return found


def _one_file(path: Path) -> Source:
    """Named as its folder would name it, where the name and an Info.cfg beside it tell."""
    if fault := _unusable(path):
        raise fault
    stem, phantom = _stem(path), is_phantom(path.parent) or is_phantom_image(path)
    case, frame = nnunet_raw.CASE.fullmatch(path.name), _ACDC_FRAME.fullmatch(stem)
    if case and case["channel"] == "0000":
        return Source(case["case"], path, f"{case['case']}.nii.gz", "", phantom)
    info = path.with_name("Info.cfg")
    if frame is None or not info.is_file():
        return Source(stem, path, f"{stem}.nii.gz", "", phantom)
    named = acdc.read_info(info)
    phase = next((phase for phase in ("ED", "ES") if int(named[phase]) == int(frame["frame"])), "")
    output = f"{frame['patient']}_{phase}" if phase else stem
    return Source(frame["patient"], path, f"{output}.nii.gz", phase, phantom)


def _stem(path: Path) -> str:
    named = _NIFTI.fullmatch(path.name)
    if named is None:
        cure = "The model comes first: predict MODEL IMAGE." if path.suffix == ".onnx" else _CONVERT
        raise DataError(f"{path} is no NIfTI file by its name (.nii.gz or .nii).", cure=cure)
    return named["stem"]


def _in_folder(folder: Path) -> Sources:
    for kind, (matches, scan) in _FOLDERS.items():
        if matches(folder):
            found, phantom = scan(folder), is_phantom(folder)
            if not found.cases and not found.problems:
                raise DataError(f"{folder} is in layout {kind}, but holds no images.", cure=_KNOWN)
            sources = [_from_case(case, kind, phantom) for case in found.cases]
            return Sources(kind, _by_study(sources), tuple(found.problems))
    raise DataError(f"{folder} holds no images in a known layout: it holds {contents(folder)}.", cure=_KNOWN)


def _from_case(case: Case, kind: str, phantom: bool) -> Source:
    stem = case.name if kind == "acdc" else _stem(case.image_path)
    output = stem.removesuffix("_0000") if kind == "nnunet_raw" else stem
    phantom = phantom or is_phantom_image(case.image_path)
    return Source(case.patient, case.image_path, f"{output}.nii.gz", case.phase, phantom)


def _scan_acdc(folder: Path) -> Scan:
    """As for training, but a root that holds the testing half alone is fine: no masks are needed."""
    halves = ("", *acdc.TRAINING, *acdc.TESTING)
    _refuse_both(folder, [half for half in halves if half and acdc.patients(folder / half)])
    return acdc.scan(next(folder / half for half in halves if acdc.patients(folder / half)), None, False)


def _refuse_both(folder: Path, halves: list[str]) -> None:
    if len(halves) > 1:
        raise DataError(f"{folder} holds both {' and '.join(halves)}.", cure=f"Name one of them: {folder / halves[0]}.")


def _is_nnunet(folder: Path) -> bool:
    """Unlike in training one `_0000` must be there, as plain images are often numbered: heart_0001, heart_0002."""
    return _nnunet_images(folder) != folder or any(
        case and case["channel"] == "0000" for case in map(nnunet_raw.CASE.fullmatch, _names(folder))
    )


def _nnunet_images(folder: Path) -> Path:
    there = [folder / sub for sub in ("imagesTr", "imagesTs") if (folder / sub).is_dir()]
    return next((place for place in there if any(_names(place))), [*there, folder][0])


def _scan_nnunet(folder: Path) -> Scan:
    """The cases alone: neither dataset.json nor the masks, which training reads, matter here."""
    halves = [sub for sub in ("imagesTr", "imagesTs") if (folder / sub).is_dir() and any(_names(folder / sub))]
    _refuse_both(folder, halves)
    found, images = Scan(), _nnunet_images(folder)
    for name in _names(images):
        if fault := _unusable(images / name):
            found.fault(images / name, fault)
        else:
            nnunet_raw.add_case(found, images / name, None, {}, False)
    return found


def _scan_plain(folder: Path) -> Scan:
    found = Scan()
    for path in (folder / name for name in _names(folder)):
        stem = _stem(path)
        if _MASK.fullmatch(stem):
            raise DataError(
                f"{path} is a mask by its name, among the images of {folder}.",
                cure="Move the masks (_gt, _mask, _seg, _label) to another folder.",
            )
        if fault := _unusable(path):
            found.fault(path, fault)
        else:
            found.cases.append(Case(stem, "", path, None))
    return found


def _unusable(path: Path) -> DataError | None:
    """What is wrong with a path before it is opened: a pipe may never end, and its name becomes a mask's."""
    if _UNPRINTABLE.search(path.name):
        return DataError(f"{str(path)!r} has a name with control characters, or not in UTF-8.", cure="Rename it.")
    return None if path.is_file() else DataError(f"{path} is not a file that can be read.", cure="Remove it.")


def _names(folder: Path) -> Iterator[str]:
    """What is called .nii.gz or .nii in a folder, sorted, without hidden files."""
    names = sorted(child.name for child in folder.iterdir())
    return (name for name in names if _NIFTI.fullmatch(name) and not name.startswith("."))


_FOLDERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Scan]]] = {
    "acdc": (acdc.matches, _scan_acdc),
    "nnunet_raw": (_is_nnunet, _scan_nnunet),
    "folder": (lambda folder: any(True for _ in _names(folder)), _scan_plain),
}
"""Layout to how it is recognised and read; the first that matches counts."""


def _by_study(sources: list[Source]) -> dict[str, tuple[Source, ...]]:
    studies: dict[str, tuple[Source, ...]] = {}
    for source in sorted(sources, key=lambda source: (source.study, source.phase, source.path.name)):
        studies[source.study] = (*studies.get(source.study, ()), source)
    return studies


def _refuse_equal_outputs(sources: Iterable[Source]) -> None:
    owners: dict[str, Path] = {}
    for source in sources:
        other = owners.setdefault(source.output, source.path)
        if other != source.path:
            raise DataError(f"{other} and {source.path} would both give {source.output}.", cure="Rename one of them.")
