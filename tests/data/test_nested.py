"""BIDS, and data sets and images in folders further down: as training, `data check` and prediction read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_kit import write_study
from makers import acdc_patient, dataset_json, make_image, make_mask, nnunet_case, save
from test_further_layouts import mnms, ukbb

from compress.data.bids import person
from compress.data.check import check_folder
from compress.data.layouts import detect_layout, find_cases, read_volume, scan_cases
from compress.data.sources import find_sources
from compress.data.split import same_person, split_patients
from compress.errors import DataError


def bids(root: Path, *subjects: str, values: tuple[int, int, int] = (3, 2, 1), session: str = "") -> Path:
    place = f"{session}/anat" if session else "anat"
    for seed, subject in enumerate(subjects):
        stem = f"{subject}_{session}_" if session else f"{subject}_"
        for phase, lv in (("ED", 6), ("ES", 3)):
            name = f"{stem}acq-sax{phase}"
            save(root / subject / place / f"{name}_bold.nii.gz", make_image(10 * seed + lv + len(session)))
            far = root / "derivatives" / "experts" / subject / place / f"{name}_desc-manual_dseg.nii.gz"
            save(far, make_mask(lv, values=values))
        save(root / subject / place / f"{stem}acq-lax4ch_bold.nii.gz", make_image(99))
    names = dict(zip(("RV", "LV myocardium", "LV blood pool"), values, strict=True))
    rows = ["index\tname", "0\tbackground", *(f"{value}\t{name}" for name, value in names.items())]
    (root / "derivatives" / "experts" / "dseg.tsv").write_text("\n".join(rows))
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    return root


def test_bids(tmp_path: Path) -> None:
    folder = bids(tmp_path, "sub-01", "sub-02")
    assert detect_layout(folder) == "bids"
    cases = find_cases(folder)
    assert [case.name for case in cases] == ["sub-01_ED", "sub-01_ES", "sub-02_ED", "sub-02_ES"]
    for case, lv in zip(cases, (6, 3, 6, 3), strict=True):
        np.testing.assert_array_equal(read_volume(case).mask, make_mask(lv))
    report = check_folder(folder)
    assert not report.problems and any("acq-lax4ch" in note and "long-axis" in note for note in report.notes)
    found = find_sources(folder)
    assert found.kind == "bids" and [s.phase for s in found.studies["sub-01"]] == ["ED", "ES"]
    assert found.studies["sub-01"][0].output == "sub-01_acq-saxED_bold.nii.gz"


def test_sessions_are_studies_of_one_person(tmp_path: Path) -> None:
    for session in ("ses-a", "ses-b"):
        bids(tmp_path, "sub-01", "sub-02", "sub-03", session=session)
    cases = find_cases(tmp_path)
    assert {case.patient for case in cases} == {f"sub-0{n}_ses-{s}" for n in (1, 2, 3) for s in "ab"}
    assert person("site_sub-01_ses-a") == "site_sub-01" and person("heart_ses-a") == "heart_ses-a"
    for seed in range(5):
        split = split_patients(cases, val_ratio=0.3, seed=seed, duplicates=same_person(cases))
        assert not set(map(person, split.train)) & set(map(person, split.val))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: next(root.glob("derivatives/**/*ED*dseg*")).unlink(), "has no mask sub-01_acq-saxED_dseg"),
        (lambda root: (root / "derivatives/experts/dseg.tsv").write_text("value\tname\n1\tLV\n"), "no table of index"),
    ],
)
def test_bids_faults(damage, says: str, tmp_path: Path) -> None:
    damage(bids(tmp_path, "sub-01"))
    with pytest.raises(DataError, match=says):
        find_cases(tmp_path)


def test_two_pipelines_with_masks_are_a_fault(tmp_path: Path) -> None:
    bids(tmp_path, "sub-01")
    save(tmp_path / "derivatives/net/sub-01/anat/sub-01_acq-saxED_dseg.nii.gz", make_mask())
    (problem,) = scan_cases(tmp_path).problems
    assert "has several masks" in problem.message and problem.study == "sub-01"


def everything(root: Path) -> Path:
    """Five layouts, and images of no layout, at several depths."""
    acdc_patient(root / "a" / "acdc" / "training", 1)
    mnms(root / "b" / "mnms", "X1")
    ukbb(root / "c" / "d" / "e", "S1")
    nnunet_case(root / "f" / "raw", "c1")
    bids(root / "g", "sub-01")
    return root


def test_every_layout_is_found_further_down(tmp_path: Path) -> None:
    cases = find_cases(everything(tmp_path), recursive=True)
    assert [case.patient for case in cases][::2] == [
        *("a_acdc_patient001", "b_mnms_Training_Labeled_X1", "c_d_e_S1", "f_raw_c1", "g_sub-01"),
    ]
    report = check_folder(tmp_path, recursive=True)
    assert report.volumes == len(cases) == 9 and report.layout == "acdc, bids, mnms, nnunet_raw, ukbb"
    assert not report.problems
    with pytest.raises(DataError, match="is in no known layout"):
        find_cases(tmp_path)


def test_prediction_finds_images_further_down(tmp_path: Path) -> None:
    everything(tmp_path)
    save(tmp_path / "heart.nii.gz", make_image(50))
    save(tmp_path / "p" / "heart.nii.gz", make_image(51))
    save(tmp_path / "p" / "q" / "heart_ED.nii.gz", make_image(52))
    save(tmp_path / "p" / "q" / "heart_ES.nii.gz", make_image(53))
    write_study(tmp_path / "scans" / "one" / "series")
    found = find_sources(tmp_path, recursive=True)
    assert not found.problems
    assert set(found.studies) == {
        *("heart", "p_heart", "p_q_heart", "scans_one_series_series", "f_raw_c1", "g_sub-01"),
        *("a_acdc_patient001", "b_mnms_Training_Labeled_X1", "c_d_e_S1"),
    }
    outputs = [source.output for study in found.studies.values() for source in study]
    assert len(set(outputs)) == len(outputs) and "p_q_heart_ED.nii.gz" in outputs


def test_masks_of_other_structures_further_down(tmp_path: Path) -> None:
    acdc_patient(tmp_path / "a" / "training", 1)
    nnunet_case(tmp_path / "b", "c1")
    dataset_json(tmp_path / "b", {"background": 0, "LV": 3, "others": 1, "septum": 2})
    report = check_folder(tmp_path, recursive=True)
    assert report.masks == 3 and report.volumes == 3
    assert {phase: set(told) for phase, told in report.millilitres.items()} == {
        "ED": {"RV", "MYO", "LV"},
        "ES": {"RV", "MYO", "LV"},
        "unknown": {"LV"},
    }


def test_links_and_bad_places_hide_no_other(tmp_path: Path) -> None:
    acdc_patient(tmp_path / "a" / "training", 1)
    (tmp_path / "loop").symlink_to(tmp_path)
    save(tmp_path / "m" / "x_gt.nii.gz", make_mask())
    found = find_sources(tmp_path, recursive=True)
    assert list(found.studies) == ["a_patient001"]
    assert "is a mask by its name" in found.problems[0].message
    with pytest.raises(DataError, match="does not exist"):
        find_sources(tmp_path / "none", recursive=True)
    with pytest.raises(DataError, match=r"Nothing below|in no known layout"):
        find_sources((tmp_path / "empty").mkdir() or tmp_path / "empty", recursive=True)
