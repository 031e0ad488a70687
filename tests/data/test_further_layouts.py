"""UK Biobank's and M&Ms' folders, as training, `data check` and prediction read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import make_image, make_mask, save

from compress.data.check import check_folder
from compress.data.layouts import detect_layout, find_cases, read_volume
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


@pytest.mark.parametrize(("make", "layout"), [(ukbb, "ukbb"), (mnms, "mnms")])
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


def _replace(root: Path, old: str, new: str) -> None:
    path = root / "info.csv"
    path.write_text(path.read_text().replace(old, new))


def test_a_subject_without_frames_is_read_as_its_cine(tmp_path: Path) -> None:
    save(tmp_path / "S1" / "sa.nii.gz", np.stack([make_image(n) for n in range(2)]))
    (source,) = find_sources(tmp_path).studies["S1"]
    assert source.image.open().frames == 2 and source.output == "S1.nii.gz"
