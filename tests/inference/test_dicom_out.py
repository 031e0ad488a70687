"""Segmentation objects beside the NIfTI masks: the same voxels, the right source, no text of the patient's file."""

from __future__ import annotations

from pathlib import Path

import dicom_kit as kit
import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest

from compress.data.dicom import segmentation
from compress.data.dicom.header import quiet_pydicom
from compress.errors import ConfigError
from compress.inference.predict import PredictReport, PredictRequest, predict

VOXELS = kit.beating((1, 4, 64, 72))
TURNED = (*kit.OBLIQUE[3:], *(-n for n in kit.OBLIQUE[:3]))


def run(model: Path, source: Path, out: Path, **more: object) -> PredictReport:
    return predict(PredictRequest(model, source, out, threads=1, force=True, dicom_seg=True, **more))  # pyright: ignore


def labels_of(path: Path) -> tuple[highdicom.seg.Segmentation, dict[tuple[float, ...], np.ndarray]]:
    """The object and, by position, its slices as label values."""
    with quiet_pydicom():
        seg = highdicom.seg.segread(path)
        places: dict[tuple[float, ...], np.ndarray] = {}
        frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
        for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
            place = tuple(round(float(n), 3) for n in group.PlanePositionSequence[0].ImagePositionPatient)
            number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            own = places.setdefault(place, np.zeros(frame.shape, np.uint8))
            own[frame > 0] = number
    return seg, places


@pytest.mark.parametrize("kind", ["classic", "turned", "enhanced"])
def test_masks_are_the_niftis(kind: str, tmp_path: Path, sealed_path: Path) -> None:
    source = tmp_path / "scan"
    orientation = TURNED if kind == "turned" else kit.OBLIQUE
    if kind == "enhanced":
        kit.write_enhanced(source / "IM1", VOXELS)
    else:
        kit.write_study(source, VOXELS, orientation=orientation)
    run(sealed_path, source, tmp_path / "out")
    nifti = nib.loadsave.load(tmp_path / "out" / "scan.nii.gz")
    masks = np.asarray(nifti.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(np.unique(masks)) > 1, "an empty mask would prove nothing"
    seg, places = labels_of(tmp_path / "out" / "scan.dcm")
    found = np.zeros_like(masks)
    for place, own in places.items():  # voxel by voxel through the patient's millimetres
        rows, columns = np.nonzero(own)
        steps = np.reshape(orientation, (2, 3)) * [[kit.SPACING[2]], [kit.SPACING[1]]]
        points = np.array(place) + columns[:, None] * steps[0] + rows[:, None] * steps[1]
        inverse = np.linalg.inv(nifti.affine)  # pyright: ignore[reportAttributeAccessIssue]
        x, y, z = np.rint(nib.affines.apply_affine(inverse, points * [-1, -1, 1])).astype(int).T
        found[x, y, z] = own[rows, columns]
    np.testing.assert_array_equal(found, masks)
    _check_reference(seg, source)


def _check_reference(seg: pydicom.Dataset, source: Path) -> None:
    first = pydicom.dcmread(next(source.iterdir()))
    assert seg.StudyInstanceUID == first.StudyInstanceUID
    assert seg.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    referenced = {
        str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {str(pydicom.dcmread(path).SOPInstanceUID) for path in source.iterdir()}
    assert [str(segment.SegmentLabel) for segment in seg.SegmentSequence] == ["RV", "MYO", "LV"]
    assert "PatientComments" not in seg and not seg.ReferringPhysicianName
    assert (seg.PatientID, seg.PatientName) == (first.PatientID, first.PatientName)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of writing such dates, and of reading them again
@pytest.mark.parametrize("each", ["series", "frame of reference"])
def test_one_for_each_slice(each: str, tmp_path: Path, sealed_path: Path) -> None:
    """As Sunnybrook's frames of reference are, with dates that whoever took the names away made impossible."""

    def change(data: pydicom.Dataset) -> None:
        if each != "series":
            data.FrameOfReferenceUID = kit.uid("frame", str(data.ImagePositionPatient))
        data.StudyDate, data.PatientBirthDate, data.StudyTime = "20120000", "00000000", "083237.000000"

    source = kit.write_study(tmp_path / "scan", VOXELS, per_slice=each == "series", change=change)
    report = run(sealed_path, source, tmp_path / "out")
    assert not report.problems
    seg, _ = labels_of(tmp_path / "out" / "scan.dcm")
    read = [pydicom.dcmread(path) for path in source.iterdir()]
    told = {
        (item.SeriesInstanceUID, image.ReferencedSOPInstanceUID)
        for item in seg.ReferencedSeriesSequence
        for image in item.ReferencedInstanceSequence
    }
    assert told == {(data.SeriesInstanceUID, data.SOPInstanceUID) for data in read} and len(told) == len(read)
    assert seg.FrameOfReferenceUID in {data.FrameOfReferenceUID for data in read}
    assert ("Frames of reference differ" in (seg.get("ContentDescription") or "")) == (each != "series")
    assert (seg.StudyDate, seg.PatientBirthDate, seg.StudyTime) == ("", "", "083237.000000")


def test_images_that_cannot_be_referenced_are_that_study_s_line(
    tmp_path: Path, sealed_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        kit.write_study(tmp_path / "scans" / name, VOXELS, patient=name, study=name)
    real = segmentation._slim

    def slim(path: Path) -> pydicom.Dataset:
        if path.parent.name == "a":
            raise ValueError("year 0 is out of range")
        return real(path)

    monkeypatch.setattr(segmentation, "_slim", slim)
    report = run(sealed_path, tmp_path / "scans", tmp_path / "out")
    assert [study["study"] for study in report.studies] == ["b"] and [p.study for p in report.problems] == ["a"]
    assert "year 0 is out of range" in report.problems[0].message
    assert {path.name for path in (tmp_path / "out").glob("a*")} == set()


def test_resume_writes_what_an_earlier_run_left_out(tmp_path: Path, sealed_path: Path) -> None:
    source, out = kit.write_study(tmp_path / "scan", VOXELS), tmp_path / "out"
    predict(PredictRequest(sealed_path, source, out, threads=1, force=True))
    assert not list(out.glob("*.dcm"))
    assert run(sealed_path, source, out, earlier="resume").kept == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "scan.dcm" in first
    assert run(sealed_path, source, out, earlier="resume").kept == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_other_images_are_refused(tmp_path: Path, sealed_path: Path, tiny_phantom: Path) -> None:
    with pytest.raises(ConfigError, match="--dicom-seg needs DICOM images"):
        run(sealed_path, tiny_phantom, tmp_path / "out")
