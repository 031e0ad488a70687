"""The two layouts' readers, how a layout is recognised, and how a case becomes a checked volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import makers
import numpy as np
import pytest

from compress.data.label_values import label_notes
from compress.data.layouts import LAYOUTS, Layout, detect_layout, find_cases, read_volume
from compress.data.scan import Scan
from compress.data.sources import find_sources
from compress.data.volume import ACDC_LABELS, Case
from compress.errors import DataError

# --- ACDC -----------------------------------------------------------------------------------------------------------


def test_acdc_from_root_half_and_patient(tmp_path: Path) -> None:
    root = makers.acdc_root(tmp_path / "acdc", 2)
    makers.acdc_patient(root / "testing", 101)
    names = ["patient001_ED", "patient001_ES", "patient002_ED", "patient002_ES"]
    assert [case.name for case in find_cases(root)] == names
    assert [case.name for case in find_cases(root / "training")] == names
    assert [case.name for case in find_cases(root / "training" / "patient002")] == names[2:]
    assert [case.name for case in find_cases(root / "testing")] == ["patient101_ED", "patient101_ES"]
    assert find_cases(root, label_dir=root) == find_cases(root)
    first = find_cases(root)[0]
    assert first.group == "NOR" and first.labels == ACDC_LABELS
    assert first.label_path is not None and first.label_path.name == "patient001_frame01_gt.nii.gz"


def test_acdc_reads_the_frames_that_info_names_and_no_others(tmp_path: Path) -> None:
    folder = makers.acdc_patient(tmp_path, 90, group=None)
    makers.save(folder / "patient090_4d.nii.gz", makers.make_image(5, (2, *makers.SHAPE)))
    for kind in ("", "_gt"):
        (folder / f"patient090_frame01{kind}.nii.gz").rename(folder / f"patient090_frame04{kind}.nii.gz")
    makers.save(folder / "patient090_frame01.nii.gz", makers.make_image(6))
    (folder / "Info.cfg").write_text("ES: 8\nWeight: 66.0\nED: 4\n")
    ed, es = find_cases(tmp_path)
    assert (ed.image_path.name, es.image_path.name) == ("patient090_frame04.nii.gz", "patient090_frame08.nii.gz")
    assert ed.group is None


def test_acdc_masks_are_required_unless_said(tmp_path: Path) -> None:
    folder = makers.acdc_patient(tmp_path, 1)
    (folder / "patient001_frame08_gt.nii.gz").unlink()
    with pytest.raises(DataError, match=r"patient001_frame08_gt\.nii\.gz is missing"):
        find_cases(tmp_path)
    ed, es = find_cases(tmp_path, require_masks=False)
    assert ed.label_path is not None and es.label_path is None
    assert read_volume(es, require_mask=False).mask is None
    with pytest.raises(DataError, match="has no mask"):
        read_volume(es)


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (None, "Info.cfg is missing. It names the ED and ES frames"),
        ("ES: 8\n", "nothing as ED frame"),
        ("ED: one\nES: 8\n", "'one' as ED frame"),
        ("ED: 8\nES: 8\n", "both ED and ES"),
        ("ED: 1\nES: 8\ned: 2\n", "gives '1' and '2' as ED frame"),
        ("ED: 2\nES: 8\n", "patient001_frame02.nii.gz is missing"),
        ("\udcff", "cannot be read"),
    ],
)
def test_acdc_info_faults(tmp_path: Path, info: str | None, text: str) -> None:
    path = makers.acdc_patient(tmp_path, 1) / "Info.cfg"
    path.unlink()
    if info is not None:
        path.write_bytes(info.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert text in str(caught.value)


def test_first_fault_counts_the_others(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (makers.acdc_patient(tmp_path, number) / "Info.cfg").unlink()
    with pytest.raises(DataError, match=r"patient001.*\(2 more such faults"):
        find_cases(tmp_path)


def test_acdc_refuses_a_label_folder_and_a_testing_root(tmp_path: Path) -> None:
    makers.acdc_patient(tmp_path / "testing", 101)
    with pytest.raises(DataError, match="Leave label_dir null"):
        find_cases(tmp_path / "testing", label_dir=tmp_path)
    with pytest.raises(DataError, match=r"To use the testing half give .*testing"):
        find_cases(tmp_path)


def test_info_cfg_with_a_byte_order_mark(tmp_path: Path) -> None:
    makers.acdc_patient(tmp_path, 1)
    info = tmp_path / "patient001" / "Info.cfg"
    info.write_bytes(b"\xef\xbb\xbf" + info.read_bytes())
    assert [case.phase for case in find_cases(tmp_path)] == ["ED", "ES"]


@pytest.mark.parametrize(
    "text", ["ed:1\nEs : 08\ngroup: NOR", "Group:NOR\r\nES:8\r\nED:1\r\nED: 1\r\n", "ES: 8\rED: 1\rGroup: NOR"]
)
def test_info_cfg_as_people_write_it(tmp_path: Path, text: str) -> None:
    makers.acdc_patient(tmp_path, 1)
    (tmp_path / "patient001" / "Info.cfg").write_bytes(text.encode())
    assert [(case.phase, case.group) for case in find_cases(tmp_path)] == [("ED", "NOR"), ("ES", "NOR")]


# --- nnU-Net raw ----------------------------------------------------------------------------------------------------


def test_nnunet_finds_cases_and_tells_phases_by_lv(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "patient001_frame01", lv=3)
    makers.nnunet_case(tmp_path, "patient001_frame12", lv=6)
    makers.nnunet_case(tmp_path, "single")
    cases = find_cases(tmp_path)
    assert [case.name for case in cases] == ["patient001_ED", "patient001_ES", "single"]
    assert cases[0].image_path.name == "patient001_frame12_0000.nii.gz"
    assert cases[0].group is None
    for label_dir in (None, tmp_path / "labelsTr", tmp_path):
        assert find_cases(tmp_path / "imagesTr", label_dir=label_dir) == cases


def test_nnunet_frames_may_be_named_by_phase(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "A0S9V9_ED", lv=6)
    makers.nnunet_case(tmp_path, "A0S9V9_ES", lv=3)
    assert [case.name for case in find_cases(tmp_path)] == ["A0S9V9_ED", "A0S9V9_ES"]


def test_nnunet_phase_is_unknown_without_masks_or_with_equal_volumes(tmp_path: Path) -> None:
    for frame in (1, 2):
        makers.nnunet_case(tmp_path, f"a_frame0{frame}", lv=6)
        makers.save(tmp_path / "imagesTr" / f"b_frame0{frame}_0000.nii.gz", makers.make_image(frame))
    assert [case.phase for case in find_cases(tmp_path, require_masks=False)] == [""] * 4


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "LV": 1, "MYO": 2, "RV": 3},
        {"0": "background", "1": "LV cavity", "2": "Left ventricular myocardium", "3": "Right_Ventricle"},
        {"background": 0, "lvc": "1", "MLV": 2, "rvc": 3},
        {"background": 0, "LVBP": 1, "LVM": 2, "RV": 3},
        {"LV blood pool": 1, "LV myocardium": 2, "RV blood-pool": 3},
        {"LVENDO": 1, "LVMYO": 2, "RVENDO": 3},
        {"LV endocardium": 1, "LV epicardium": 2, "RV endocardium": 3},
        {"left ventricular cavity (blood)": 1, "Myocardium of the left ventricle": 2, "RVBP": 3},
    ],
)
def test_other_label_values_come_out_as_acdc(tmp_path: Path, labels: dict) -> None:
    makers.nnunet_case(tmp_path, "c1", values=(3, 2, 1))
    makers.dataset_json(tmp_path, labels)
    (case,) = find_cases(tmp_path)
    assert case.labels == {"RV": 3, "MYO": 2, "LV": 1}
    assert np.array_equal(read_volume(case).mask, makers.make_mask())


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"LV": 1, "MYO": 2, "RV": 2}, "one label of its own"),
        ({"LV": 1, "LVC": 4, "MYO": 2, "RV": 3}, "one label of its own"),
        ({"LV": 1, "MYO": 2, "RV": 3, "atrium": 3}, "LVBP, LV cavity"),
        ({"background": 0}, "names 'nothing' as structures"),
        ({"1 or 2": 1}, "names '1 or 2' as structures"),
        ({"whole": [1, 2], "MYO": 2, "RV": 3}, "expected one whole number"),
        (["RV"], "no 'labels' table"),
    ],
)
def test_nnunet_label_faults(tmp_path: Path, labels: object, text: str) -> None:
    makers.nnunet_case(tmp_path, "c1")
    makers.dataset_json(tmp_path, labels)
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert text in str(caught.value) and "dataset.json" in str(caught.value)


def test_further_structures_are_left_out_and_said(tmp_path: Path) -> None:
    mask = makers.make_mask()
    mask[:, 20:22] = 4
    mask[:, 22:] = 5
    makers.nnunet_case(tmp_path, "c1")
    makers.save(tmp_path / "labelsTr" / "c1.nii.gz", mask)
    makers.dataset_json(tmp_path, {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "septum": 4, "ignore": 5})
    (case,) = find_cases(tmp_path)
    assert case.others == {"septum": 4, "ignore": 5}
    assert np.array_equal(read_volume(case).mask, makers.make_mask())
    assert label_notes([case]) == ["Left out, read as background: ignore (5), septum (4)."]


@pytest.mark.parametrize(
    ("labels", "known", "values"),
    [
        ({"LV": 3}, {"LV": 3}, {"LV": 1}),
        ({"left atrium": 7, "LVM": 2, "LV": 1}, {"MYO": 2, "LV": 1, "LA": 7}, {"MYO": 1, "LV": 2, "LA": 3}),
        ({"scar": 2, "ignore": 3}, {"scar": 2}, {"scar": 1}),
    ],
)
def test_any_label_set(labels: dict[str, int], known: dict[str, int], values: dict[str, int], tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "c1")
    makers.dataset_json(tmp_path, {"background": 0, **labels})
    (case,) = find_cases(tmp_path)
    assert (case.labels, case.values) == (known, values)


def test_assumed_label_values_are_said(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "c1")
    assumed = ["Label values are assumed to be ACDC's (1 RV, 2 MYO, 3 LV): no dataset.json says what they are."]
    (case,) = find_cases(tmp_path)
    assert label_notes([case]) == assumed and label_notes([replace(case, label_path=None)]) == []
    makers.dataset_json(tmp_path, {"RV": 1, "MYO": 2, "LV": 3})
    assert label_notes(find_cases(tmp_path)) == []


def test_nnunet_file_faults(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "c1")
    second = makers.save(tmp_path / "imagesTr" / "c1_0001.nii.gz", makers.make_image(1))
    makers.nnunet_case(tmp_path, "c0")
    with pytest.raises(DataError, match=r"c1_0001.nii.gz is a further channel"):
        find_cases(tmp_path)
    for path in tmp_path.glob("*/c0*"):
        path.unlink()
    second.rename(tmp_path / "imagesTr" / "c2.nii.gz")
    with pytest.raises(DataError, match=r"c2\.nii\.gz lacks a channel number"):
        find_cases(tmp_path)
    (tmp_path / "imagesTr" / "c2.nii.gz").rename(tmp_path / "imagesTr" / "c2_0000.nii.gz")
    with pytest.raises(DataError, match=r"labelsTr/c2\.nii\.gz is missing"):
        find_cases(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path, label_dir=tmp_path / "nowhere")


def test_nnunet_needs_a_label_folder_for_masks(tmp_path: Path) -> None:
    makers.save(tmp_path / "pictures" / "c1_0000.nii.gz", makers.make_image(1))
    with pytest.raises(DataError, match="Give label_dir"):
        find_cases(tmp_path / "pictures")
    assert [case.label_path for case in find_cases(tmp_path / "pictures", require_masks=False)] == [None]


# --- any layout -----------------------------------------------------------------------------------------------------


def test_unknown_folders_are_described(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds nothing"):
        find_cases(tmp_path)
    for name in "abcdef":
        (tmp_path / f"{name}.dcm").touch()
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert "a.dcm, b.dcm, c.dcm, d.dcm and 2 more" in str(caught.value)
    assert all(layout.looks_like in str(caught.value) for layout in LAYOUTS.values())
    with pytest.raises(DataError, match="is a file, not a folder"):
        find_cases(tmp_path / "a.dcm")


def test_layouts_are_told_apart(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path / "n", "patient001_frame01")
    makers.acdc_root(tmp_path / "a", 1)
    assert (detect_layout(tmp_path / "n"), detect_layout(tmp_path / "a")) == ("nnunet_raw", "acdc")


def test_both_layouts_read_the_same_volumes(tmp_path: Path) -> None:
    makers.acdc_root(tmp_path / "acdc", 2)
    for case in find_cases(tmp_path / "acdc"):
        volume, case = read_volume(case), case.image_path.name.removesuffix(".nii.gz")
        makers.save(tmp_path / "n" / "imagesTr" / f"{case}_0000.nii.gz", volume.image)
        makers.save(tmp_path / "n" / "labelsTr" / f"{case}.nii.gz", volume.mask)
    for ours, theirs in zip(find_cases(tmp_path / "acdc"), find_cases(tmp_path / "n"), strict=True):
        a, b = read_volume(ours), read_volume(theirs)
        assert ours.name == theirs.name and a.spacing == b.spacing
        assert np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask)


@pytest.mark.parametrize(
    ("mask", "options", "text"),
    [
        (makers.make_mask()[:2], {}, "has shape (2, 24, 20) (z, y, x), its image (3, 24, 20)"),
        (makers.make_mask(), {"spacing": (10.0, 1.5, 1.5)}, "has spacing (10, 1.5, 1.5) mm, its image (10, 1.5, 1.25)"),
        (makers.make_mask(), {"affine": np.eye(4)}, "is oriented RAS, its image LPS"),
        (makers.make_mask(values=(1, 2, 4)), {}, "unknown labels [4]; allowed: 0 background, 1 RV, 2 MYO, 3 LV"),
    ],
)
def test_masks_that_do_not_fit(tmp_path: Path, mask: np.ndarray, options: dict, text: str) -> None:
    label = makers.save(tmp_path / "m.nii.gz", mask, **options)
    case = Case("p", "ED", makers.save(tmp_path / "i.nii.gz", makers.make_image(1)), label)
    with pytest.raises(DataError) as caught:
        read_volume(case)
    assert text in str(caught.value) and "m.nii.gz" in str(caught.value)
    assert read_volume(replace(case, label_path=None), require_mask=False).mask is None


def test_constant_image_is_refused(tmp_path: Path) -> None:
    path = makers.save(tmp_path / "i.nii.gz", np.full(makers.SHAPE, 7, np.int16))
    with pytest.raises(DataError, match=r"i\.nii\.gz is constant: every voxel is 7"):
        read_volume(Case("p", "ED", path, None), require_mask=False)


@pytest.mark.acdc
def test_real_acdc_folder(acdc_dir: Path) -> None:
    cases = find_cases(acdc_dir)
    assert len(cases) == 200 and len({case.patient for case in cases}) == 100
    ed = next(case for case in cases if case.name == "patient090_ED")
    assert ed.image_path.name == "patient090_frame04.nii.gz"
    volume = read_volume(cases[0])
    assert volume.image.shape == (10, 256, 216) and volume.spacing == (10.0, 1.5625, 1.5625)


def _scan_toy(folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
    """One folder per patient: image.nii.gz and, where training wants it, truth.nii.gz."""
    found = Scan()
    for image in sorted(folder.glob("*/image.nii.gz")):
        mask = image.with_name("truth.nii.gz")
        if mask.is_file() or not require_masks:
            found.cases.append(Case(image.parent.name, "ED", image, mask if mask.is_file() else None))
        else:
            found.fault(mask, DataError(f"{mask} is missing."))
    return found


def test_a_layout_is_registered_once_for_training_and_for_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def matches(folder: Path) -> bool:
        return any(folder.glob("*/image.nii.gz"))

    layout = Layout(matches, _scan_toy, "toy: PATIENT/image.nii.gz", mask_stem=lambda case: case.name)
    monkeypatch.setitem(LAYOUTS, "toy", layout)
    for patient in ("anna", "bert"):
        makers.save(tmp_path / "toy" / patient / "image.nii.gz", makers.make_image(len(patient)))
    makers.save(tmp_path / "toy" / "anna" / "truth.nii.gz", makers.make_mask())
    found = find_sources(tmp_path / "toy")
    outputs = {study: [source.output for source in images] for study, images in found.studies.items()}
    assert (found.kind, outputs) == ("toy", {"anna": ["anna_ED.nii.gz"], "bert": ["bert_ED.nii.gz"]})
    assert detect_layout(tmp_path / "toy") == "toy"
    with pytest.raises(DataError, match=r"truth\.nii\.gz is missing"):
        find_cases(tmp_path / "toy")
    makers.save(tmp_path / "toy" / "bert" / "truth.nii.gz", makers.make_mask())
    assert [case.name for case in find_cases(tmp_path / "toy")] == ["anna_ED", "bert_ED"]
    (tmp_path / "empty").mkdir()
    for look in (find_cases, find_sources):
        with pytest.raises(DataError, match=r"toy: PATIENT/image\.nii\.gz"):
            look(tmp_path / "empty")
