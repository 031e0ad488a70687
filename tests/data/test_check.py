"""`check_folder`: it counts and measures, and one faulty file hides no other."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import makers
import numpy as np
import pytest

from compress.data.check import check_folder
from compress.errors import DataError

VOXEL_ML = 10.0 * 1.5 * 1.25 / 1000


def test_a_sound_folder(tmp_path: Path) -> None:
    report = check_folder(makers.acdc_root(tmp_path, 3))
    assert (report.layout, report.patients, report.volumes, report.masks) == ("acdc", 3, 6, 6)
    assert report.groups == {"NOR": 3} and report.problems == () and report.duplicates == ()
    assert report.phantom is False
    assert report.geometry["slices"].median == 3 and report.geometry["slice_mm"].max == 10.0
    assert (report.geometry["rows"].min, report.geometry["columns"].min) == (24, 20)
    assert report.millilitres["ED"]["LV"].mean == pytest.approx(3 * 5 * 6 * VOXEL_ML)
    assert report.millilitres["ES"]["LV"].max == pytest.approx(3 * 5 * 3 * VOXEL_ML)
    assert report.ejection_fraction["LV"].mean == pytest.approx(50)
    assert report.ejection_fraction["RV"].mean == pytest.approx(0)
    assert all(loss.fraction == 0 and loss.worst_volume == "" for loss in report.outside_crop.values())


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    makers.acdc_root(tmp_path, 1)
    (tmp_path / "training" / "patient001" / "patient001_frame08_gt.nii.gz").unlink()
    values = json.loads(json.dumps(check_folder(tmp_path).to_json(), allow_nan=False))
    assert values["patients"] == 1 and values["facts"][0]["shape"] == [3, 24, 20]
    assert values["problems"][0]["path"].endswith("patient001_frame08.nii.gz")


def test_crop_losses_are_measured_in_millimetres(tmp_path: Path) -> None:
    makers.acdc_root(tmp_path, 1)
    report = check_folder(tmp_path, crop_mm=20.0)
    # Rows -10..10 mm keep 14 of 24 rows of 1.5 mm (5 to 18), columns 16 of 20 of 1.25 mm (2 to 17).
    rv, lv = report.outside_crop["RV"], report.outside_crop["LV"]
    assert rv.fraction == pytest.approx(1 / 4) and rv.volumes == 2 and rv.worst_fraction == pytest.approx(1 / 4)
    assert rv.worst_volume.startswith("patient001_frame")
    assert lv.fraction == 0 and lv.volumes == 0


def spoil(root: Path) -> dict[str, str]:
    """Spoil one thing in each patient; returns file name -> what its problem must say."""
    makers.acdc_root(root, 9)

    def at(number: int, ending: str) -> Path:
        return root / "training" / f"patient{number:03d}" / f"patient{number:03d}_{ending}.nii.gz"

    at(1, "frame01_gt").unlink()
    makers.save(at(2, "frame01_gt"), makers.make_mask()[:2])
    makers.save(at(3, "frame01_gt"), makers.make_mask(values=(1, 2, 5)))
    nan = makers.make_image(1).astype(np.float32)
    nan[0, 0, 0] = np.nan
    makers.save(at(4, "frame01"), nan)
    makers.save(at(5, "frame08"), makers.make_image(1, (4, *makers.SHAPE)))
    at(6, "frame08").write_bytes(at(6, "frame08").read_bytes()[:900])
    makers.save(at(7, "frame08_gt"), makers.make_mask(lv=9))
    at(8, "frame01").with_name("Info.cfg").unlink()
    makers.save(at(9, "frame01_gt"), makers.make_mask(values=(0, 2, 3)))
    makers.save(at(9, "frame08"), makers.make_image(8 + 700))
    return {
        "patient001_frame01.nii.gz": "has no mask",
        "patient002_frame01_gt.nii.gz": "has shape",
        "patient003_frame01_gt.nii.gz": "unknown labels [5]",
        "patient004_frame01.nii.gz": "NaN",
        "patient005_frame08.nii.gz": "4D",
        "patient006_frame08.nii.gz": "Copy or download",
        "patient007_frame08.nii.gz": "(ES) has a larger LV than ED",
        "Info.cfg": "is missing",
        "patient009_frame01_gt.nii.gz": "holds no RV at all",
        "patient009_frame08.nii.gz": "(ES) has a larger RV than ED",
    }


def test_every_fault_is_reported_and_the_rest_is_measured(tmp_path: Path) -> None:
    expected = spoil(tmp_path)
    report = check_folder(tmp_path)
    found = {problem.path.name: problem.message for problem in report.problems}
    assert found.keys() == expected.keys()
    assert len(report.problems) == len(expected)
    for name, text in expected.items():
        assert text in found[name]
    assert (report.patients, report.volumes, report.masks) == (8, 13, 10)
    assert report.duplicates == (("patient007", "patient009"),)


def test_both_files_of_a_pair_can_be_faulty(tmp_path: Path) -> None:
    folder = makers.acdc_patient(tmp_path, 1)
    for name in ("patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"):
        (folder / name).write_bytes(b"")
    assert [problem.message.count("is empty") for problem in check_folder(tmp_path).problems] == [1, 1]


def test_nothing_readable_is_still_a_report(tmp_path: Path) -> None:
    for path in makers.acdc_patient(tmp_path, 1).glob("*.nii.gz"):
        path.write_bytes(b"")
    report = check_folder(tmp_path)
    assert (report.patients, report.volumes, report.intensity_max, report.geometry) == (1, 0, None, {})
    assert len(report.problems) == 4
    json.dumps(report.to_json(), allow_nan=False)


def test_images_without_any_mask_are_one_problem(tmp_path: Path) -> None:
    for number in (1, 2):
        makers.save(tmp_path / f"c{number}_0000.nii.gz", makers.make_image(number))
    report = check_folder(tmp_path)
    assert (report.layout, report.volumes, report.masks, report.groups) == ("nnunet_raw", 2, 0, {"unknown": 2})
    assert [problem.path for problem in report.problems] == [tmp_path]
    assert report.millilitres == report.ejection_fraction == report.outside_crop == {}


def test_slices_on_another_axis_are_noticed(tmp_path: Path) -> None:
    makers.save(tmp_path / "c1_0000.nii.gz", makers.make_image(1), spacing=(1.25, 1.5, 10.0))
    assert any("is the third axis z?" in problem.message for problem in check_folder(tmp_path).problems)


def test_two_voxel_sizes_in_one_header_are_noticed(tmp_path: Path) -> None:
    path = makers.save(tmp_path / "c1_0000.nii.gz", makers.make_image(1), affine=np.diag([-1.25, -1.5, 10.0, 1.0]))
    assert not any("sform" in problem.message for problem in check_folder(tmp_path).problems)
    other = np.diag([-1.25, -1.5, 5.0, 1.0])
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:328] = other[:3].astype("<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    says = [problem.message for problem in check_folder(tmp_path).problems]
    assert any("pixdim says voxels of 1.25 x 1.5 x 10 mm, sform 1.25 x 1.5 x 5 mm: which is true?" in s for s in says)


def test_nnunet_labels_and_phases(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "a_frame01", lv=6, values=(3, 2, 1), seed=1)
    makers.nnunet_case(tmp_path, "a_frame09", lv=3, values=(3, 2, 1), seed=2)
    makers.nnunet_case(tmp_path, "b", values=(3, 2, 1), seed=3)
    makers.dataset_json(tmp_path, {"LV": 1, "MYO": 2, "RV": 3})
    report = check_folder(tmp_path / "imagesTr", label_dir=tmp_path / "labelsTr")
    assert report.problems == () and list(report.millilitres) == ["ED", "ES", "unknown"]
    assert report.ejection_fraction["LV"].mean == pytest.approx(50)


def test_only_a_hopeless_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout"):
        check_folder(tmp_path)


@pytest.mark.acdc
def test_real_acdc(acdc_dir: Path) -> None:
    report = check_folder(acdc_dir)
    assert (report.patients, report.volumes, report.masks, report.problems) == (100, 200, 200, ())
    assert report.duplicates == (("patient074", "patient076"),)
    assert report.groups == dict.fromkeys(("DCM", "HCM", "MINF", "NOR", "RV"), 20)
    assert report.outside_crop["LV"].fraction == report.outside_crop["MYO"].fraction == 0
    assert 0 < report.outside_crop["RV"].fraction < 0.001
