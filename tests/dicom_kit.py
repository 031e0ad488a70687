"""Generated DICOM: small short-axis cines as scanners write them, to be damaged by tests. No patient's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SPACING = (8.0, 2.0, 1.9)  # mm along (slice, row, column): pixels are not square
ORIGIN = (-98.287, -211.539, 142.051)
Change = Callable[[Dataset], object]


def _oblique() -> tuple[float, ...]:
    row = np.array([0.77038, 0.618446, 0.155046])
    column = np.array([-0.15161, 0.41389, -0.897613])
    row /= np.linalg.norm(row)
    column -= row * (row @ column)
    return (*row, *(column / np.linalg.norm(column)))


OBLIQUE = _oblique()
"""Rows and columns of a real patient's short-axis stack."""
LONG_AXIS = (*OBLIQUE[:3], *np.cross(OBLIQUE[:3], OBLIQUE[3:]))
TRANSVERSE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def beating(shape: tuple[int, int, int, int] = (3, 4, 64, 60), seed: int = 0) -> np.ndarray:
    """(T, Z, Y, X) int16: noise with a bright blob that contracts, another one in each slice."""
    noise = np.random.default_rng(seed).integers(0, 60, shape)
    rows, columns = (np.arange(n) - n / 2 for n in shape[2:])
    radius = np.hypot(rows[:, None] - 3, columns + 5)
    sizes = 14 - 2.0 * np.arange(shape[0])[:, None, None, None] - np.arange(shape[1])[None, :, None, None]
    return (noise + 300 * (radius < sizes)).astype(np.int16)


def uid(*words: object) -> str:
    return generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=[*map(str, words)])


def position(z: int, orientation: tuple[float, ...] = OBLIQUE, gap: float = SPACING[0]) -> list[float]:
    across = np.cross(orientation[:3], orientation[3:])
    return [round(float(value), 6) for value in np.array(ORIGIN) + z * gap * across]


def _dataset(sop_class: str, name: str, *, patient: str, study: str, series: int) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    data.file_meta.MediaStorageSOPInstanceUID = UID(uid(patient, study, series, name))
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = sop_class, data.file_meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = (
        f"Doe^{patient}",
        patient,
        "19500101",
        "F",
    )
    data.PatientComments = "Jane Doe is a patient"
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(patient, study), uid(patient, study, series)
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "120000", "1", "A1"
    data.ReferringPhysicianName = "Who^Dr"
    data.Modality, data.SeriesNumber, data.SeriesDescription = "MR", series, "cine sax"
    data.FrameOfReferenceUID, data.ImageType = uid(patient, "frame"), ["ORIGINAL", "PRIMARY", "M"]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    return data


def slices(
    voxels: np.ndarray,
    *,
    series: int = 3,
    per_slice: bool = False,
    orientation: tuple[float, ...] = OBLIQUE,
    patient: str = "P1",
    study: str = "S1",
) -> Iterator[tuple[str, Dataset]]:
    """One file's name and content for each frame and slice of (T, Z, Y, X), all in one series or one for each slice."""
    for z in range(voxels.shape[1]):
        for t in range(voxels.shape[0]):
            own = series + z if per_slice else series
            data = _dataset(MR, f"{z}-{t}", patient=patient, study=study, series=own)
            data.ImageOrientationPatient, data.ImagePositionPatient = list(orientation), position(z, orientation)
            data.PixelSpacing, data.SliceThickness = list(SPACING[1:]), 6.0
            data.TriggerTime, data.InstanceNumber = 20.0 + 35.5 * t + z, z * voxels.shape[0] + t + 1
            data.EchoTime = 1.5
            _fill(data, voxels[t, z])
            yield f"s{own:03d}_{z:02d}_{t:02d}.dcm", data


def _fill(data: Dataset, voxels: np.ndarray) -> None:
    data.Rows, data.Columns = voxels.shape[-2:]
    data.PixelData = np.ascontiguousarray(voxels, "<i2").tobytes()


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def write_study(folder: Path, voxels: np.ndarray | None = None, *, change: Change | None = None, **how: Any) -> Path:
    """A classic cine in `folder`, one file a frame; `change` alters each file's content."""
    for name, data in slices(beating() if voxels is None else voxels, **how):
        if change is not None:
            change(data)
        save(folder / name, data)
    return folder


def write_enhanced(path: Path, voxels: np.ndarray, *, patient: str = "P1", study: str = "S1") -> Path:
    """The same scan as one enhanced file, its frames in a muddled order."""
    data = _dataset(ENHANCED, "all", patient=patient, study=study, series=3)
    places = [(t, z) for t in range(voxels.shape[0]) for z in range(voxels.shape[1])]
    places = [places[i] for i in np.random.default_rng(1).permutation(len(places))]
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(OBLIQUE))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=list(SPACING[1:]), SliceThickness=6.0)]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [_group(t, z) for t, z in places]
    data.NumberOfFrames, data.InstanceNumber = len(places), 1
    _fill(data, np.stack([voxels[t, z] for t, z in places]))
    return save(path, data)


def _group(t: int, z: int) -> Dataset:
    group = Dataset()
    group.PlanePositionSequence = [_item(ImagePositionPatient=position(z))]
    group.CardiacSynchronizationSequence = [_item(NominalCardiacTriggerDelayTime=20.0 + 35.5 * t + z)]
    group.FrameContentSequence = [_item(TemporalPositionIndex=t + 1, InStackPositionNumber=z + 1, StackID="1")]
    return group


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def edit(path: Path, change: Callable[[FileDataset], object]) -> Path:
    data = pydicom.dcmread(path)
    change(data)
    return save(path, data)


def no_end(raw: bytes) -> bytes:
    """Voxels of an undefined length, as packed ones have."""
    at = raw.index(b"\xe0\x7f\x10\x00OW") + 8
    return raw[:at] + b"\xff\xff\xff\xff" + raw[at + 4 :] + b"\xfe\xff\xdd\xe0\0\0\0\0"


def short_voxels(raw: bytes) -> bytes:
    """Voxels of 100 bytes, and other elements behind them where the rest should be."""
    at = raw.index(b"\xe0\x7f\x10\x00OW") + 8
    return raw[:at] + (100).to_bytes(4, "little") + raw[at + 4 :]
