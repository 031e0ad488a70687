"""One DICOM file's header, read with suspicion: where its frames lie, when they were taken, where their voxels are."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from compress.data.dicom.files import kind_of
from compress.data.frames import MAX_CINE_VOXELS
from compress.errors import DataError
from compress.outside import opened

MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image",
}
"""SOP classes that are read; reports, presentation states, segmentations and other modalities are left out."""

NATIVE = {"1.2.840.10008.1.2": "<", "1.2.840.10008.1.2.1": "<", "1.2.840.10008.1.2.2": ">"}
"""Transfer syntaxes without compression, with their byte order: implicit, explicit, explicit big endian."""

PACKED = {
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
}
"""Compressed without loss: read where pydicom finds a decoder. Others (deflated, lossy, video) are refused."""

MAX_SIDE = 4096
"""Rows or columns; a cardiac slice has some hundreds."""

MAX_EFFORT = 2**26
"""What a header may cost: its bytes, `_READ` a call, `_ITEM` an item. A cine of 450 frames costs a fifth of it."""
_READ, _ITEM = 32, 512
"""An element of 8 bytes costs pydicom microseconds, an empty item 2 KiB."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""What an item of a sequence begins with, in either byte order."""
_SMALL = 256
"""Bytes that may be asked for without a look at how many are left."""

_NAMES = (
    *("SOPInstanceUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("FrameOfReferenceUID", "ImageType", "EchoTime", "InstanceNumber", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    *("TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIdentifier"),
    *("RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
"""All that is read of a file. The patient's name is not among them."""
_UNDEFINED = 0xFFFFFFFF
"""The length of an element that goes on until it says that it ends: how compressed voxels are stored."""
_COPY_AGAIN = "Copy the folder again, or remove the file."


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a file's voxels are stored."""

    rows: int
    columns: int
    dtype: str
    """numpy's name of the stored type, with its byte order."""
    bits: int
    """How many of the stored bits count."""
    offset: int | None
    """Where the first frame begins; None where frames are compressed."""


@dataclass(frozen=True, slots=True)
class Plane:
    """How a slice lies in the patient, in DICOM's coordinates (x to the left, y to the back, z to the head)."""

    orientation: tuple[float, ...]
    """Direction along a row (3) and along a column (3)."""
    spacing: tuple[float, float]
    """Millimetres between rows, and between columns."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One 2D image."""

    path: Path
    index: int
    """Which frame of its file, from 0."""
    series: int
    """The series' number, as people call it."""
    plane: Plane
    position: tuple[float, float, float]
    """The centre of its first pixel in millimetres, in DICOM's coordinates."""
    time: float | None
    """Milliseconds since the R wave."""
    order: tuple[int, int]
    """Temporal position and instance number, for scanners that tell no time."""
    slope: float
    intercept: float
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM file that holds MR images."""

    path: Path
    uid: str
    patient: str
    study: str
    series: str
    number: int
    """The series' number, as people call it."""
    description: str
    """The series' name; free text, for the terminal alone."""
    image_type: tuple[str, ...]
    """Such as ("ORIGINAL", "PRIMARY", "M")."""
    reference: str
    """The frame of reference: positions of different ones cannot be compared. Some anonymisers give each file one."""
    kind: tuple[object, ...]
    """What the frames of one stack have in common beside their geometry: image type and echo time."""
    frames: tuple[Frame, ...]


def read_instance(path: Path) -> Instance | str:
    """A DICOM file's header, or in words why it is left out: it holds no MR image.

    Raises `DataError`, one line that names the file, for an MR image that is damaged, cut short, packed in a way that
    cannot be read, or lacks what its place and voxels need.
    """
    with _typed_errors(path):
        sop_class, syntax = kind_of(path)
        if sop_class not in MR_CLASSES:
            return "no MR image"
        _check_syntax(path, syntax)
        with opened(path, most=None, named=True, fault=DataError) as raw:
            size = raw.seek(0, 2)
            raw.seek(0)
            stream = BufferedReader(raw)
            values = _parse(path, _Bounded(stream, size))
            if int(values.get("SamplesPerPixel", 1)) != 1:
                return "a picture in colour"
            return _Reader(path, values).instance(_pixels(path, values, stream, size, syntax))


Value = TypeVar("Value", bound=Hashable)


def _once(value: Value) -> Value:
    """An equal value that another file of the scan had already: thousands of files say the same."""
    return cast(Value, _known(value))


@lru_cache(maxsize=512)
def _known(value: Hashable) -> Hashable:
    return value


class _Bounded:
    """A file that is never asked for more bytes than it has, and whose header may cost so much and no more.

    pydicom allocates what a length claims, and a data set for every item of a sequence, before anybody can look.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size, self.effort = stream, size, 0
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, count: int | None = -1) -> bytes:
        if count is None or not 0 <= count <= _SMALL:
            left = max(self.size - self.stream.tell(), 0)
            count = left if count is None or count < 0 else min(count, left)
        self.effort += count + _READ
        if self.effort > MAX_EFFORT:
            raise EOFError  # pydicom makes errors of its own of it
        found = self.stream.read(count)
        self.effort += _ITEM * sum(map(found.count, _ITEMS))
        return found


def _parse(path: Path, stream: _Bounded) -> dict[str, Any]:
    """What the file says of `_NAMES`, by name."""
    from pydicom import dcmread

    try:
        dataset = dcmread(cast(Any, stream), stop_before_pixels=True, specific_tags=list(_tags().values()))
    finally:
        if stream.effort > MAX_EFFORT:
            raise DataError(f"{path} has a header far too large for an image: it looks damaged.", cure=_COPY_AGAIN)
    return {name: dataset[tag].value for name, tag in _tags().items() if tag in dataset}


@cache
def _tags() -> dict[str, Any]:
    from pydicom.tag import Tag

    return {name: Tag(name) for name in _NAMES}


@contextmanager
def _typed_errors(path: Path) -> Iterator[None]:
    """Whatever pydicom makes of strangers' bytes becomes one line; its warnings about odd values are not the user's."""
    try:
        with quiet_pydicom():
            yield
    except (DataError, ModuleNotFoundError, MemoryError):
        raise
    except Exception as fault:  # the parser promises no error types, and raises some twenty
        reason = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise DataError(f"{path} is damaged DICOM: {reason}.", cure=_COPY_AGAIN) from fault


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Values are taken as they are: scanners and anonymisers write UIDs and numbers that break the letter."""
    from pydicom import config

    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = before


def _check_syntax(path: Path, syntax: str) -> None:
    if syntax in NATIVE:
        return
    cure = "Decompress it first, for example with gdcmconv --raw or dcmdjpeg."
    if syntax not in PACKED:
        known = ", ".join(dict.fromkeys(PACKED.values()))
        raise DataError(
            f"{path} has transfer syntax {syntax[:64] or 'nothing'}; readable are uncompressed files, {known}.",
            cure=cure,
        )
    from pydicom.pixels import get_decoder

    if not get_decoder(syntax).is_available:
        raise DataError(f"{path} is compressed ({PACKED[syntax]}), for which no decoder is installed.", cure=cure)


def _pixels(path: Path, dataset: Mapping[str, Any], raw: BinaryIO, size: int, syntax: str) -> Pixels:
    """How the voxels are stored; what cannot be, or is not there in full, is refused before anything is allocated."""
    rows, columns, frames = (int(dataset.get(name) or 0) for name in ("Rows", "Columns", "NumberOfFrames"))
    frames = frames or 1
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE) or rows * columns * frames > MAX_CINE_VOXELS:
        raise DataError(f"{path} claims {columns} x {rows} pixels in {frames} frames: its header looks damaged.")
    bits, stored = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    if bits not in (8, 16, 32) or not 0 < stored <= bits or int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise DataError(f"{path} stores {stored} of {bits} bits; expected 8, 16 or 32 bits with the lowest in use.")
    if (grey := str(dataset.get("PhotometricInterpretation", ""))) != "MONOCHROME2":
        raise DataError(f"{path} has {grey[:20] or 'no'} grey levels; expected MONOCHROME2 (black is 0).")
    letter = "i" if int(dataset.get("PixelRepresentation") or 0) else "u"
    dtype = f"{NATIVE.get(syntax, '<')}{letter}{bits // 8}"
    offset = _native_offset(path, raw, size, syntax, rows * columns * frames * bits // 8)
    return _once(Pixels(rows, columns, dtype, stored, offset))


def _native_offset(path: Path, raw: BinaryIO, size: int, syntax: str, needed: int) -> int | None:
    """Where the voxels begin, behind the element that the parser stopped at; None where they are compressed."""
    order = NATIVE.get(syntax, "<")
    head = raw.read(12)
    if len(head) < 12 or struct.unpack_from(order + "HH", head) != (0x7FE0, 0x0010):
        raise DataError(f"{path} is cut short: it holds no voxels.", cure=_COPY_AGAIN)
    explicit = head[4:6] in (b"OB", b"OW")  # whatever the syntax says: as two bytes of a length they would be odd
    (length,) = struct.unpack_from(order + "I", head, 8 if explicit else 4)
    if (length == _UNDEFINED) == (syntax in NATIVE):
        kinds = ("compressed", "uncompressed")[:: 1 if syntax in NATIVE else -1]
        raise DataError(f"{path} holds {kinds[0]} voxels, and its transfer syntax says {kinds[1]}.", cure=_COPY_AGAIN)
    if syntax not in NATIVE:
        return None
    offset = raw.tell() - (0 if explicit else 4)
    if (held := min(length, size - offset)) < needed:
        raise DataError(f"{path} is cut short: {needed - held} of {needed} bytes are missing.", cure=_COPY_AGAIN)
    return offset


class _Reader:
    """Turns a parsed file into plain values."""

    def __init__(self, path: Path, dataset: Mapping[str, Any]) -> None:
        self.path, self.dataset = path, dataset

    def instance(self, pixels: Pixels) -> Instance:
        data = self.dataset
        image_type = tuple(str(word).upper() for word in self._list(data.get("ImageType")))
        echo = round(float(data.get("EchoTime") or 0), 2)
        per_frame = data.get("PerFrameFunctionalGroupsSequence") or []
        return Instance(
            path=self.path,
            uid=self._need("SOPInstanceUID"),
            patient=_once(str(data.get("PatientID", ""))),
            study=_once(self._need("StudyInstanceUID")),
            series=_once(self._need("SeriesInstanceUID")),
            number=int(data.get("SeriesNumber") or 0),
            description=_once(str(data.get("SeriesDescription") or "")),
            image_type=_once(image_type),
            reference=_once(str(data.get("FrameOfReferenceUID", ""))),
            kind=_once((image_type[2:], echo)),
            frames=self._enhanced(per_frame, pixels) if per_frame else (self._classic(pixels),),
        )

    def _need(self, name: str) -> str:
        if not (value := str(self.dataset.get(name) or "")):
            raise DataError(f"{self.path} does not say its {name}: it looks cut short.", cure=_COPY_AGAIN)
        return value

    def _classic(self, pixels: Pixels) -> Frame:
        data = self.dataset
        if int(data.get("NumberOfFrames") or 1) != 1:
            raise DataError(f"{self.path} holds several frames without saying where they lie.", cure=_COPY_AGAIN)
        times = (data.get("TriggerTime"), data.get("NominalCardiacTriggerDelayTime"))
        order = (int(data.get("TemporalPositionIdentifier") or 0), int(data.get("InstanceNumber") or 0))
        return self._frame(0, [data], times, order, pixels)

    def _enhanced(self, per_frame: Sequence[Any], pixels: Pixels) -> tuple[Frame, ...]:
        shared = [self.dataset, *(self.dataset.get("SharedFunctionalGroupsSequence") or [])]
        if len(per_frame) != (claimed := int(self.dataset.get("NumberOfFrames") or 1)):
            raise DataError(f"{self.path} claims {claimed} frames and describes {len(per_frame)}.", cure=_COPY_AGAIN)
        frames = []
        for index, group in enumerate(per_frame):
            groups = [group, *shared]
            times = (_find(groups, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),)
            order = int(_find(groups, "FrameContentSequence", "TemporalPositionIndex") or 0), index
            frames.append(self._frame(index, groups, times, order, pixels))
        return tuple(frames)

    def _frame(
        self, index: int, groups: Sequence[Any], times: Sequence[Any], order: tuple[int, int], pixels: Pixels
    ) -> Frame:
        orientation = self._numbers(_find(groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
        position = self._numbers(_find(groups, "PlanePositionSequence", "ImagePositionPatient"), 3)
        spacing = self._numbers(_find(groups, "PixelMeasuresSequence", "PixelSpacing"), 2)
        slope = _find(groups, "PixelValueTransformationSequence", "RescaleSlope")
        intercept = _find(groups, "PixelValueTransformationSequence", "RescaleIntercept")
        _check_plane(self.path, orientation, spacing)
        time = next((float(value) for value in times if value not in (None, "")), None)
        if time is not None and not math.isfinite(time):
            raise DataError(f"{self.path} has the trigger time {time}.", cure=_COPY_AGAIN)
        scale = self._numbers([1.0 if slope is None else slope, 0.0 if intercept is None else intercept], 2)
        plane = _once(Plane(orientation, (spacing[0], spacing[1])))
        place = (position[0], position[1], position[2])
        number = int(self.dataset.get("SeriesNumber") or 0)
        return Frame(self.path, index, number, plane, place, time, order, scale[0], scale[1], pixels)

    def _numbers(self, value: Any, count: int) -> tuple[float, ...]:
        found = tuple(float(number) + 0.0 for number in self._list(value))  # no -0.0: it equals 0.0, and differs
        if len(found) != count or not all(math.isfinite(number) for number in found):
            raise DataError(f"{self.path} does not say where its slices lie in the patient.", cure=_COPY_AGAIN)
        return found

    @staticmethod
    def _list(value: Any) -> list[Any]:
        return [] if value is None else [value] if isinstance(value, str | int | float) else list(value)


def _find(groups: Sequence[Any], sequence: str, name: str) -> Any:
    """A value of the first group that has it: within its own sequence (enhanced files), or plainly (classic ones)."""
    for group in groups:
        for place in [*(group.get(sequence) or []), group]:
            if (value := place.get(name)) is not None:
                return value
    return None


def _check_plane(path: Path, orientation: Sequence[float], spacing: Sequence[float]) -> None:
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    across = sum(a * b for a, b in zip(row, column, strict=True))
    if any(abs(length - 1) > 0.01 for length in lengths) or abs(across) > 0.01:
        raise DataError(f"{path} has directions of rows and columns that are not at right angles.", cure=_COPY_AGAIN)
    if not all(0 < size <= 100 for size in spacing):
        raise DataError(f"{path} has pixels of {spacing[0]:g} x {spacing[1]:g} mm.", cure="Correct its PixelSpacing.")
