"""A mask as a DICOM Segmentation object that names the images it belongs to, for viewers and archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from compress import __version__
from compress.data.dicom.header import Frame, quiet_pydicom
from compress.data.dicom.stack import Stack
from compress.errors import DataError
from compress.files import atomic_path, digest_bytes
from compress.outside import opened

_CODES = {
    "LV": ("87878005", "Left ventricle"),
    "RV": ("53085002", "Right ventricle"),
    "MYO": ("74281007", "Myocardium"),
}
"""SNOMED CT's codes and meanings; other structures are called a heart's part."""
_OTHER = ("80891009", "Heart")
_SERIES = 9000
"""Series numbers of masks begin here, so that they stand behind the scanner's."""

_SEVERAL = "Frames of reference differ; this is that of the first image."
"""Said where slices were imaged one by one, each in a frame of reference of its own."""

_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
_IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("Modality", "Rows", "Columns", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    *("SliceThickness", "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


def write_segmentation(
    path: Path, mask: np.ndarray, *, stack: Stack, time: int, labels: Mapping[str, int], model: str
) -> Path:
    """Write one frame's mask (Z, Y, X), on the grid of the opened stack, as a Segmentation object; returns `path`.

    Each structure is one segment. Where each slice is a series, or has a frame of reference, of its own, all are
    referenced, and the first's frame of reference is given. Of the patient it holds what the standard asks for and
    nothing else. `time` is the frame's index, `model` the digest of the network's file. Raises `DataError` for sources
    that cannot be read.
    """
    frames = stack.frames[time]
    names = sorted(labels, key=lambda name: labels[name])
    numbers = np.zeros(256, np.uint8)
    for number, name in enumerate(names, start=1):
        numbers[labels[name]] = number
    stored = np.stack([stack.turn.back(numbers[part]) for part in mask])
    try:
        with quiet_pydicom():
            document = _document(frames, stored, names, model)
            with atomic_path(path) as temporary:
                document.save_as(temporary)
    except (AttributeError, ValueError, TypeError, KeyError) as fault:
        reason = " ".join(str(fault).split())[:160]
        raise DataError(f"{stack.folder}: its images cannot be referenced by a Segmentation: {reason}.") from fault
    return path


def _document(frames: Sequence[Frame], stored: np.ndarray, names: Sequence[str], model: str) -> Any:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    sources = [_slim(path) for path in dict.fromkeys(frame.path for frame in frames)]
    first = sources[0].SeriesInstanceUID, sources[0].FrameOfReferenceUID
    series = {str(each.SOPInstanceUID): each.SeriesInstanceUID for each in sources}
    places = {each.get("FrameOfReferenceUID") for each in sources}
    for each in sources:  # highdicom takes one series alone, and the standard one frame of reference
        each.SeriesInstanceUID, each.FrameOfReferenceUID = first
    uids = [_uid(stored.tobytes(), sources[0].SOPInstanceUID, model, part) for part in ("series", "instance")]
    place = _places(frames) if len(sources) < len(frames) else {}
    document = Segmentation(
        source_images=sources,
        pixel_array=stored,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(number, name) for number, name in enumerate(names, start=1)],
        series_instance_uid=uids[0],
        series_number=_SERIES + min(max(frames[0].series, 0), 999),
        sop_instance_uid=uids[1],
        instance_number=1,
        manufacturer="cardiocompress",
        manufacturer_model_name=f"model {model[:12]}",
        software_versions=__version__,
        device_serial_number=model[:12],
        omit_empty_frames=bool(stored.any()),
        content_label="SEGMENTATION",
        content_description=_SEVERAL if len(places) > 1 else None,
        **place,
    )
    _name_series(document, series)
    return document


def _name_series(document: Any, series: Mapping[str, Any]) -> None:
    """Put every image that is referenced under its own series again; series: by the image's name."""
    from pydicom import Dataset

    groups: dict[Any, list[Any]] = {}
    for item in document.ReferencedSeriesSequence:
        for image in item.ReferencedInstanceSequence:
            groups.setdefault(series[str(image.ReferencedSOPInstanceUID)], []).append(image)
    items = []
    for name, images in groups.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = name, images
        items.append(item)
    document.ReferencedSeriesSequence = items


def _slim(path: Path) -> Any:
    """What a Segmentation must repeat of a source image; comments, histories and further names are left behind."""
    from pydicom import Dataset, dcmread

    with opened(path, most=None, named=True) as stream:
        read = dcmread(stream, stop_before_pixels=True, specific_tags=[*_PATIENT, *_STUDY, *_IMAGE])
    slim = Dataset()
    for name in (*_PATIENT, *_STUDY):
        setattr(slim, name, _sound(read.get(name, ""), name))
    for name in _IMAGE:
        if name in read:
            slim[name] = read[name]
    slim.ReferringPhysicianName = ""
    slim.file_meta = read.file_meta
    return slim


def _sound(value: Any, name: str) -> Any:
    """The value; nothing for a date or time that is none, as who takes names away writes 00000000."""
    from pydicom.valuerep import DA, TM

    kind = {"Date": DA, "Time": TM}.get(name[-4:])
    try:
        return value if kind is None or kind(str(value)) is not None else ""
    except ValueError:
        return ""


def _places(frames: Sequence[Frame]) -> dict[str, Any]:
    """Where the masks of an enhanced file's frames lie, as they are a part of its frames alone."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    plane = frames[0].plane
    steps = [np.linalg.norm(np.subtract(b.position, a.position)) for a, b in pairwise(frames)]
    return {
        "plane_positions": [PlanePositionSequence("PATIENT", frame.position) for frame in frames],
        "plane_orientation": PlaneOrientationSequence("PATIENT", plane.orientation),
        "pixel_measures": PixelMeasuresSequence(plane.spacing, round(float(np.mean(steps)), 6)),
    }


def _describe(number: int, name: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    value, meaning = _CODES.get(name, _OTHER)
    return SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=CodedConcept("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=CodedConcept(value, "SCT", meaning),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name="cardiocompress",
            family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
            version=__version__,
        ),
    )


def _uid(voxels: bytes, source: str, model: str, part: str) -> str:
    """The same mask of the same images gets the same name."""
    number = int(digest_bytes(voxels, source.encode(), model.encode(), part.encode())[:32], 16)
    return f"2.25.{number}"
