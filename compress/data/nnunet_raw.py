"""nnU-Net's raw layout: imagesTr/CASE_0000.nii.gz, of several channels CASE_0001.nii.gz and so on too,
labelsTr/CASE.nii.gz and dataset.json beside them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from compress.data.images import Channels
from compress.data.label_values import read_channels, read_labels, read_others
from compress.data.nifti import read_mask
from compress.data.scan import Scan, image_named, image_names, image_stem, refuse_both, unusable
from compress.data.volume import MAX_CHANNELS, PHASES, VENTRICLES, Case
from compress.errors import DataError
from compress.outside import is_there

LOOKS_LIKE = "nnU-Net raw: imagesTr/CASE_0000.nii.gz with labelsTr/CASE.nii.gz"
IMAGES_LOOK_LIKE = "nnU-Net images CASE_0000.nii.gz, also in imagesTr or imagesTs"

_CASE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})\.(nii(\.gz)?|mha|nrrd|hdr)", re.IGNORECASE)
_FRAME = re.compile(r"_(frame\d+|ED|ES)$")
"""What tells one patient's two frames apart."""


def matches(folder: Path) -> bool:
    """Whether `folder` is a raw data set's root (it has imagesTr) or a folder of `CASE_0000.nii.gz` images."""
    return (folder / "imagesTr").is_dir() or any(_CASE.fullmatch(path.name) for path in folder.iterdir())


def scan(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """The cases below `folder`, from a root those of imagesTr.

    The patient is the case without `_frameXX`. Of a patient's two frames the one with the larger LV (or, without one,
    RV) in its mask is ED, the other ES; otherwise the phase is "" (unknown), as the layout does not hold it.
    Raises `DataError` for a missing label folder, and a dataset.json that `read_labels` or `read_channels` refuses.
    """
    images = folder / "imagesTr" if (folder / "imagesTr").is_dir() else folder
    masks = _label_folder(folder, images, label_dir)
    if masks is None and require_masks:
        raise DataError(f"{images} has no label folder.", cure="Give label_dir, or put masks in labelsTr beside it.")
    told = images.parent / "dataset.json"
    known = {"labels": read_labels(told), "others": read_others(told), "labels_told": is_there(told)}
    example = Case("", "", images, None, channels=read_channels(told) or _channels_of_all(images), **known)
    found = Scan()
    for name in image_names(images):
        ending = name[len(image_stem(Path(name)) or "") :]
        if ending != ending.lower():  # nnU-Net itself would not find it
            fault = f"{images / name} ends in {ending}; nnU-Net's raw layout has it in lower case."
            found.fault(images / name, DataError(fault, cure="Rename it."))
        else:
            _add_case(found, images / name, masks, example, require_masks)
    return Scan(_with_phases(found.cases), found.problems)


def matches_images(folder: Path) -> bool:
    """Unlike in training one `_0000` must be there, as plain images are often numbered: heart_0001, heart_0002."""
    return _image_folder(folder) != folder or any(case_of(folder / name) for name in image_names(folder))


def scan_images(folder: Path) -> Scan:
    """The cases alone: neither dataset.json nor the masks, which training reads, matter here.

    Raises `DataError` when both imagesTr and imagesTs hold images.
    """
    refuse_both(folder, [half.name for half in _halves(folder) if any(image_names(half))])
    found, images = Scan(), _image_folder(folder)
    for name in image_names(images):
        if fault := unusable(images / name):
            found.fault(images / name, fault)
        else:
            _add_case(found, images / name, None, Case("", "", images, None), False)
    return found


def case_of(path: Path) -> Case | None:
    """The case of one image by its name, a study of its own; None for another name or a further channel."""
    named = _CASE.fullmatch(path.name)
    return Case(named["case"], "", path, None) if named and named["channel"] == "0000" else None


def mask_stem(case: Case) -> str:
    """What a mask is called: the image's name without its channel."""
    return (image_stem(case.image_path) or case.name).removesuffix("_0000")


def _halves(folder: Path) -> list[Path]:
    return [folder / sub for sub in ("imagesTr", "imagesTs") if (folder / sub).is_dir()]


def _image_folder(folder: Path) -> Path:
    there = _halves(folder)
    return next((half for half in there if any(image_names(half))), [*there, folder][0])


def _channels_of_all(images: Path) -> int:
    """As many as every case has, numbered from 0 on; 1 where cases differ."""
    numbers: dict[str, set[int]] = {}
    for name in image_names(images):
        if named := _CASE.fullmatch(name):
            numbers.setdefault(named["case"], set()).add(int(named["channel"]))
    counts = {len(found) if found == set(range(len(found))) else 1 for found in numbers.values()}
    count = counts.pop() if len(counts) == 1 else 1
    if count > MAX_CHANNELS:
        raise DataError(f"{images} holds {count} channels of every case; {MAX_CHANNELS} at most are read.")
    return count


def _label_folder(folder: Path, images: Path, label_dir: Path | None) -> Path | None:
    if label_dir is not None and label_dir.resolve() not in (folder.resolve(), images.resolve()):
        if not label_dir.is_dir():
            raise DataError(f"The label folder {label_dir} does not exist.")
        return label_dir / "labelsTr" if (label_dir / "labelsTr").is_dir() else label_dir
    if not images.name.startswith("images"):
        return None
    sibling = images.with_name("labels" + images.name.removeprefix("images"))
    return sibling if sibling.is_dir() else None


def _add_case(found: Scan, path: Path, masks: Path | None, example: Case, require_masks: bool) -> None:
    """Add the image at `path`, with its mask from the folder `masks`, or what is wrong with its name or files.

    `example` has the label values and the number of channels. A further channel belongs to the image of its first."""
    named = _CASE.fullmatch(path.name)
    if named is None:
        found.fault(path, DataError(f"{path} lacks a channel number.", cure="Name it CASE_0000.nii.gz."))
    elif int(named["channel"]) >= example.channels:
        wanted = "one channel (_0000) is" if example.channels == 1 else f"{example.channels} channels are"
        found.fault(path, DataError(f"{path} is a further channel; {wanted} expected.", cure="Remove it."))
    elif named["channel"] != "0000":
        if image_named(path.parent, f"{named['case']}_0000") is None:
            found.fault(path, DataError(f"{path} has no first channel, {named['case']}_0000.", cure="Add it."))
    else:
        case, image = named["case"], Channels.of(path, example.channels) if example.channels > 1 else None
        lacking = next((channel for channel in image.paths if not channel.is_file()), None) if image else None
        mask = image_named(masks, case) if masks else None
        mask = mask if mask is not None and mask.is_file() else None
        if lacking is not None:
            message = f"{lacking} is missing: {example.channels} channels of every image are expected."
            found.fault(lacking, DataError(message, cure="Add it."))
        elif mask is None and require_masks:
            missing = (masks or path.parent) / f"{case}.nii.gz"
            found.fault(missing, DataError(f"{missing} is missing: the mask of {path.name}.", cure="Add it."))
        else:
            patient = _FRAME.sub("", case)
            found.cases.append(replace(example, patient=patient, image_path=path, label_path=mask, image=image))


def _with_phases(cases: list[Case]) -> list[Case]:
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    return [case for frames in by_patient.values() for case in _name_phases(frames)]


def _name_phases(frames: list[Case]) -> list[Case]:
    if len(frames) != 2:
        return frames
    first, second = (_cavity_volume(frame) for frame in frames)
    if first is None or second is None or first == second:
        return frames
    phases = PHASES if first > second else PHASES[::-1]
    return [replace(frame, phase=phase) for frame, phase in zip(frames, phases, strict=True)]


def _cavity_volume(case: Case) -> float | None:
    """Of the LV, or else the RV, in mm3; None without a readable mask of it (reading the volume will say why)."""
    cavity = next((name for name in VENTRICLES if name in case.labels), None)
    if case.label_path is None or cavity is None:
        return None
    try:
        mask = read_mask(case.label_path)
    except DataError:
        return None
    z, y, x = mask.spacing_mm
    return float((mask.array == case.labels[cavity]).sum()) * z * y * x
