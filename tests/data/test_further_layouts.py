"""UK Biobank's and M&Ms' folders, as training, `data check` and prediction read them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from makers import make_image, make_mask, save

from compress.data.check import check_folder
from compress.data.images import FrameOf
from compress.data.layouts import detect_layout, find_cases, read_volume, scan_cases
from compress.data.sources import find_sources
from compress.errors import DataError

VALUES = (3, 2, 1)  # RV, MYO, LV in both data sets


def ukbb(root: Path, *subjects: str) -> Path:
    for seed, subject in enumerate(subjects):
        for phase, lv in (("ED", 6), ("ES", 3)):
            save(root / subject / f"sa_{phase}.nii.gz", make_image(10 * seed + lv))
            save(root / subject / f"label_sa_{phase}.nii.gz", make_mask(lv, values=VALUES))
        save(root / subject / "sa.nii.gz", np.stack([make_image(n) for n in range(2)]))
        save(root / subject / "la_4ch_ED.nii.gz", make_image(99))
    return root


def mnms(root: Path, *codes: str) -> Path:
    for seed, code in enumerate(codes):
        folder = root / "Training" / "Labeled" / code
        save(folder / f"{code}_sa.nii.gz", np.stack([make_image(10 * seed + t) for t in range(4)]))
        frames = {1: make_mask(6, values=VALUES), 3: make_mask(3, values=VALUES)}
        save(folder / f"{code}_sa_gt.nii.gz", np.stack([frames.get(t, np.zeros_like(frames[1])) for t in range(4)]))
    rows = [f"{n},{code},Siemens,A,1,1,3,55,HCM" for n, code in enumerate(codes)]
    (root / "info.csv").write_text("\n".join([",External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology", *rows]))
    return root / "Training" / "Labeled"


def mnms2(root: Path, *subjects: str) -> Path:
    for seed, subject in enumerate(subjects):
        for phase, lv in (("ED", 6), ("ES", 3)):
            save(root / subject / f"{subject}_SA_{phase}.nii.gz", make_image(10 * seed + lv))
            save(root / subject / f"{subject}_SA_{phase}_gt.nii.gz", make_mask(lv, values=VALUES))
            save(root / subject / f"{subject}_LA_{phase}.nii.gz", make_image(99))
        save(root / subject / f"{subject}_SA_CINE.nii.gz", np.stack([make_image(n) for n in range(2)]))
    return root


@pytest.mark.parametrize(("make", "layout"), [(ukbb, "ukbb"), (mnms, "mnms"), (mnms2, "mnms2")])
def test_both_phases_with_their_masks(make, layout: str, tmp_path: Path) -> None:
    folder = make(tmp_path, "A1", "B2")
    assert detect_layout(folder) == layout
    cases = find_cases(folder)
    assert [case.name for case in cases] == ["A1_ED", "A1_ES", "B2_ED", "B2_ES"]
    for case, lv in zip(cases, (6, 3, 6, 3), strict=True):
        mask = read_volume(case).mask
        np.testing.assert_array_equal(mask, make_mask(lv))
    report = check_folder(folder)
    assert report.layout == layout and not report.problems and report.masks == 4
    found = find_sources(folder)
    assert found.kind == layout and list(found.studies) == ["A1", "B2"]
    assert [source.output for source in found.studies["A1"]] == ["A1_ED.nii.gz", "A1_ES.nii.gz"]


def test_frames_are_those_of_the_table(tmp_path: Path) -> None:
    folder = mnms(tmp_path, "A1")
    images = [read_volume(case).image for case in find_cases(folder)]
    for image, t in zip(images, (1, 3), strict=True):
        np.testing.assert_array_equal(image, make_image(t))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: (root / "info.csv").unlink(), r"No table \(.csv\) with the columns External code, ED and ES"),
        (lambda root: (root / "info.csv").write_bytes(b"\xff\xfe,"), "cannot be read as the table of ED and ES"),
        (lambda root: _replace(root, ",1,3,55", ",x,3,55"), "gives 'x' as ED frame of A1"),
        (lambda root: _replace(root, ",1,3,55", ",1,9,55"), "has 4 frames; frame 10 was asked for"),
        (lambda root: _replace(root, "A1", "C3"), "A1 is not in the table"),
    ],
)
def test_a_table_that_does_not_tell(damage, says: str, tmp_path: Path) -> None:
    folder = mnms(tmp_path, "A1")
    damage(tmp_path)
    with pytest.raises(DataError, match=says):
        [read_volume(case) for case in find_cases(folder)]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("External code", " external_code "),
        lambda text: text.replace("External code", "Code").replace("Pathology", "pathology"),
        lambda text: text.replace(",1,3,", ",1.0, 3. ,"),
        lambda text: text.replace("\n0,A1,Siemens", '\n0,"A1","Siemens, ""Aera"""'),
        lambda text: text + "\n,,,,,,,,\n",
    ],
    ids=["semicolons", "tabs", "byte-order mark", "other letters", "Code", "with a point", "quoted", "an empty row"],
)
def test_tables_as_spreadsheets_write_them(change, tmp_path: Path) -> None:
    folder = mnms(tmp_path, "A1")
    path = tmp_path / "info.csv"
    path.write_text(change(path.read_text()), encoding="utf-8", newline="")
    cases = find_cases(folder)
    image = folder / "A1" / "A1_sa.nii.gz"
    assert [(case.phase, case.group) for case in cases] == [("ED", "HCM"), ("ES", "HCM")]
    assert [case.image for case in cases] == [FrameOf(image, 1), FrameOf(image, 3)]


def test_a_patient_whose_es_nobody_named_hides_no_other(tmp_path: Path) -> None:
    folder = mnms(tmp_path, "A1", "B2")
    _replace(tmp_path, "B2,Siemens,A,1,1,3", "B2,Siemens,A,1,1,")
    found = scan_cases(folder)
    assert [case.name for case in found.cases] == ["A1_ED", "A1_ES"]
    (problem,) = found.problems
    assert "gives '' as ES frame of B2" in problem.message


@pytest.mark.parametrize("make", [ukbb, mnms2])
def test_one_phase_alone_is_segmented_and_said(make, tmp_path: Path) -> None:
    folder = make(tmp_path, "A1")
    for path in folder.glob("A1/*ES*"):
        path.unlink()
    found = find_sources(folder)
    assert [source.output for source in found.studies["A1"]] == ["A1_ED.nii.gz"] and not found.problems
    assert [note for note in found.notes if "no ES, so it has no EF" in note]
    assert "is missing" in scan_cases(folder).problems[0].message, "training wants both"


@pytest.mark.parametrize("make", [ukbb, mnms, mnms2])
def test_files_that_are_not_packed_are_read_alike(make, tmp_path: Path) -> None:
    folder = make(tmp_path, "A1")
    wanted = [read_volume(case).mask for case in find_cases(folder)]
    for path in folder.rglob("*.nii.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal([read_volume(case).mask for case in find_cases(folder)], wanted)


def test_patients_in_folders_of_vendors(tmp_path: Path) -> None:
    """Found by --recursive, which the refusal without it names."""
    folder = mnms(tmp_path, "A1", "B2")
    for vendor, code in (("Siemens", "A1"), ("Philips", "B2")):
        (folder / vendor).mkdir()
        (folder / code).rename(folder / vendor / code)
    with pytest.raises(DataError, match="--recursive"):
        find_cases(folder)
    cases = find_cases(folder, recursive=True)
    assert [case.name for case in cases] == ["Philips_B2_ED", "Philips_B2_ES", "Siemens_A1_ED", "Siemens_A1_ES"]


def _replace(root: Path, old: str, new: str) -> None:
    path = root / "info.csv"
    path.write_text(path.read_text().replace(old, new))


def test_a_subject_without_frames_is_read_as_its_cine(tmp_path: Path) -> None:
    save(tmp_path / "S1" / "sa.nii.gz", np.stack([make_image(n) for n in range(2)]))
    (source,) = find_sources(tmp_path).studies["S1"]
    assert source.image.open().frames == 2 and source.output == "S1.nii.gz"
