"""What prediction finds at a path: studies, output names, phases; what it cannot use, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import makers
import pytest
from nifti_kit import raw_file

from compress.data.phantom_marker import DESCRIPTION, MARKER
from compress.data.sources import Sources, find_sources
from compress.errors import DataError


def image(path: Path, **fields: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return raw_file(path, makers.make_image(1), **fields)


def outputs(found: Sources) -> dict[str, list[tuple[str, str, str]]]:
    """study -> (image's name, mask's name, phase)."""
    return {name: [(s.path.name, s.output, s.phase) for s in sources] for name, sources in found.studies.items()}


def acdc_outputs(number: int) -> dict[str, list[tuple[str, str, str]]]:
    name = f"patient{number:03d}"
    return {
        name: [
            (f"{name}_frame01.nii.gz", f"{name}_ED.nii.gz", "ED"),
            (f"{name}_frame08.nii.gz", f"{name}_ES.nii.gz", "ES"),
        ]
    }


# --- one file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["_", "-", ".", " "])
def test_both_phases_in_one_folder_are_one_study(tmp_path: Path, sign: str) -> None:
    for phase in ("ED", "es"):
        makers.save(tmp_path / f"anna{sign}{phase}.nii.gz", makers.make_image(1))
    assert [source.phase for source in find_sources(tmp_path).studies["anna"]] == ["ED", "ES"]


@pytest.mark.parametrize(
    ("name", "study", "output"),
    [
        ("heart.nii.gz", "heart", "heart.nii.gz"),
        ("heart.v2.nii", "heart.v2", "heart.v2.nii.gz"),
        ("HEART.NII.GZ", "HEART", "HEART.nii.gz"),
        ("case7_0000.nii.gz", "case7", "case7.nii.gz"),
        ("heart_0012.nii.gz", "heart_0012", "heart_0012.nii.gz"),
        ("patient001_frame01.nii.gz", "patient001_frame01", "patient001_frame01.nii.gz"),
        ("patient001_frame01_0000.nii.gz", "patient001_frame01", "patient001_frame01.nii.gz"),
    ],
)
def test_one_file(tmp_path: Path, name: str, study: str, output: str) -> None:
    found = find_sources(image(tmp_path / name))
    assert found.kind == "file" and not found.problems
    assert outputs(found) == {study: [(name, output, "")]}
    assert found.studies[study][0].path == tmp_path / name


def test_one_acdc_frame_learns_its_phase_from_info(tmp_path: Path) -> None:
    folder = makers.acdc_patient(tmp_path, 7)
    frames = [f"patient007_frame{frame}.nii.gz" for frame in ("01", "08")]
    expected = acdc_outputs(7)["patient007"]
    for name, triple in zip(frames, expected, strict=True):
        assert outputs(find_sources(folder / name)) == {"patient007": [triple]}
    between = image(folder / "patient007_frame03.nii.gz")
    assert outputs(find_sources(between)) == {"patient007": [(between.name, between.name, "")]}
    cine = makers.save(folder / "patient007_4d.nii.gz", makers.make_image(1, (2, *makers.SHAPE)))
    assert outputs(find_sources(cine)) == {"patient007_4d": [(cine.name, cine.name, "")]}
    (folder / "Info.cfg").write_text("ED: one\n")
    with pytest.raises(DataError, match=r"Info\.cfg gives 'one' as ED frame"):
        find_sources(folder / frames[0])


# --- ACDC -----------------------------------------------------------------------------------------------------------


def test_acdc_without_masks_from_root_half_and_patient(tmp_path: Path) -> None:
    root = makers.acdc_root(tmp_path / "acdc", 2)
    for mask in root.rglob("*_gt.nii.gz"):
        mask.unlink()
    makers.acdc_patient(tmp_path / "other" / "testing", 101)
    both = acdc_outputs(1) | acdc_outputs(2)
    assert outputs(find_sources(root)) == outputs(find_sources(root / "training")) == both
    assert find_sources(root).kind == "acdc"
    assert list(find_sources(root).studies) == ["patient001", "patient002"]
    assert outputs(find_sources(root / "training" / "patient002")) == acdc_outputs(2)
    assert outputs(find_sources(tmp_path / "other" / "testing")) == acdc_outputs(101)


@pytest.mark.parametrize("half", ["testing", "database/testing"])
def test_a_root_with_only_the_testing_half_is_taken(tmp_path: Path, half: str) -> None:
    makers.acdc_patient(tmp_path / half, 101)
    assert outputs(find_sources(tmp_path)) == acdc_outputs(101)


def test_one_bad_patient_hides_no_other(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        makers.acdc_patient(tmp_path, number)
    (tmp_path / "patient001" / "Info.cfg").unlink()
    (tmp_path / "patient002" / "patient002_frame08.nii.gz").unlink()
    found = find_sources(tmp_path)
    assert outputs(found) == {"patient002": acdc_outputs(2)["patient002"][:1]} | acdc_outputs(3)
    assert [problem.path.name for problem in found.problems] == ["Info.cfg", "patient002_frame08.nii.gz"]


def test_ed_comes_before_es_whatever_their_frames(tmp_path: Path) -> None:
    (makers.acdc_patient(tmp_path, 1) / "Info.cfg").write_text("ED: 8\nES: 1\n")
    first, second = find_sources(tmp_path).studies["patient001"]
    assert (first.phase, first.path.name) == ("ED", "patient001_frame08.nii.gz")
    assert (second.phase, second.output) == ("ES", "patient001_ES.nii.gz")


# --- nnU-Net raw ----------------------------------------------------------------------------------------------------


def test_nnunet_groups_frames_by_patient_and_reads_no_mask(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "p1_frame12", lv=6)
    makers.nnunet_case(tmp_path, "p1_frame01", lv=3)
    makers.nnunet_case(tmp_path, "single")
    (tmp_path / "dataset.json").write_text("{ damaged")
    (tmp_path / "labelsTr" / "single.nii.gz").write_bytes(b"damaged")
    found = find_sources(tmp_path)
    assert found.kind == "nnunet_raw" and not found.problems
    assert outputs(found) == {
        "p1": [(f"p1_frame{n}_0000.nii.gz", f"p1_frame{n}.nii.gz", "") for n in ("01", "12")],
        "single": [("single_0000.nii.gz", "single.nii.gz", "")],
    }
    assert outputs(find_sources(tmp_path / "imagesTr")) == outputs(found)


def test_nnunet_test_images_alone_are_taken(tmp_path: Path) -> None:
    image(tmp_path / "imagesTs" / "b_0000.nii.gz")
    assert list(find_sources(tmp_path).studies) == ["b"]


def test_nnunet_faults_are_problems(tmp_path: Path) -> None:
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "b.nii.gz", ".c_0000.nii.gz"):
        image(tmp_path / name)
    found = find_sources(tmp_path)
    assert list(found.studies) == ["a"]
    assert [problem.path.name for problem in found.problems] == ["a_0001.nii.gz", "b.nii.gz"]
    assert "further channel" in found.problems[0].message and "lacks a channel" in found.problems[1].message


# --- a folder of images ---------------------------------------------------------------------------------------------


def test_a_plain_folder_is_one_study_per_file(tmp_path: Path) -> None:
    for name in ("zoe.nii", "heart_0002.nii.gz", "heart_0001.nii.gz", ".hidden.nii.gz", "patient001_frame01.nii.gz"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more").mkdir()
    found = find_sources(tmp_path)
    assert found.kind == "folder" and not found.problems
    assert outputs(found) == {
        "heart_0001": [("heart_0001.nii.gz", "heart_0001.nii.gz", "")],
        "heart_0002": [("heart_0002.nii.gz", "heart_0002.nii.gz", "")],
        "patient001_frame01": [("patient001_frame01.nii.gz", "patient001_frame01.nii.gz", "")],
        "zoe": [("zoe.nii", "zoe.nii.gz", "")],
    }
    assert list(found.studies) == sorted(found.studies)


def test_what_is_no_file_is_a_problem(tmp_path: Path) -> None:
    image(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").mkdir()
    (tmp_path / "c.nii.gz").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "d.nii.gz")
    found = find_sources(tmp_path)
    assert list(found.studies) == ["a"]
    assert [problem.path.name for problem in found.problems] == ["b.nii.gz", "c.nii.gz", "d.nii.gz"]


@pytest.mark.parametrize("mask", ["b_gt.nii.gz", "b_mask.nii", "b_SEG.nii.gz", "b_label.nii.gz", "b_labels.nii.gz"])
def test_masks_among_images_are_refused(tmp_path: Path, mask: str) -> None:
    for name in ("a.nii.gz", mask, "c_gt.nii.gz"):
        image(tmp_path / name)
    with pytest.raises(DataError) as caught:
        find_sources(tmp_path)
    assert mask in str(caught.value) and "Move the masks" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (("a.nii", "a.nii.gz"), "a.nii.gz"),
        (("a_0000.nii", "a_0000.nii.gz", "b_0000.nii"), "a.nii.gz"),
        (("A.nii", "a.nii"), "a.nii.gz"),
    ],
)
def test_two_images_with_one_output_are_refused(tmp_path: Path, names: tuple[str, ...], output: str) -> None:
    for name in names:
        image(tmp_path / name)
    with pytest.raises(DataError, match=rf"{names[0]} and .*{names[1]} would both give {output}"):
        find_sources(tmp_path)


def test_a_link_out_of_the_folder_is_its_own_fault(tmp_path: Path) -> None:
    folder, far = tmp_path / "data", tmp_path / "private.nii"
    image(folder / "a.nii"), image(far), image(folder / "deep" / "b.nii")
    (folder / "out.nii").symlink_to(far)
    (folder / "in.nii").symlink_to("deep/b.nii")
    (tmp_path / "named").symlink_to(folder)
    for named in (folder, tmp_path / "named"):
        found = find_sources(named)
        assert sorted(found.studies) == ["a", "in"], "data sets are laid out by links"
        assert [problem.path.name for problem in found.problems] == ["out.nii"]
        assert "leads out of" in found.problems[0].message
    assert find_sources(folder / "out.nii").kind == "file", "the user named it"


# --- nothing to do --------------------------------------------------------------------------------------------------


def nothing(folder: Path) -> dict[str, tuple[Path, str]]:
    """name -> (path, what its error must say)."""
    for name in ("empty", "pictures", "raw/imagesTr", "deep/inside"):
        (folder / name).mkdir(parents=True)
    for name in ("pictures/a.dcm", "scan.dcm", "scan.png", "scan.img", ".nii.gz"):
        (folder / name).write_bytes(b"anything")
    os.mkfifo(folder / "pipe.nii")
    (folder / "broken.nii").symlink_to(folder / "gone")
    return {
        "missing": (folder / "gone.nii.gz", "does not exist"),
        "too long": (folder / ("x" * 300), "File name too long"),
        "broken link": (folder / "broken.nii", "does not exist"),
        "pipe": (folder / "pipe.nii", "neither a file nor a folder"),
        "through a file": (folder / "scan.png" / "x.nii", "does not exist"),
        "dicom": (folder / "scan.dcm", "Give the folder that holds the whole examination"),
        "png": (folder / "scan.png", "no image by its name"),
        "pair": (folder / "scan.img", "no image by its name"),
        "only an ending": (folder / ".nii.gz", "no image by its name"),
        "empty": (folder / "empty", "it holds nothing"),
        "pictures": (folder / "pictures", "it holds a.dcm"),
        "nested": (folder / "deep", "it holds inside/"),
        "no cases": (folder / "raw", "is in layout nnunet_raw, but holds no images"),
    }


def test_nothing_to_segment_is_one_line_with_a_cure(tmp_path: Path) -> None:
    for name, (path, text) in nothing(tmp_path).items():
        with pytest.raises(DataError) as caught:
            find_sources(path)
        message = str(caught.value)
        assert text in message and str(path) in message and "\n" not in message, f"{name}: {message}"
        assert caught.value.cure, name


# --- synthetic images -----------------------------------------------------------------------------------------------


def test_phantoms_are_known_by_folder_or_by_header(tmp_path: Path) -> None:
    image(tmp_path / "plain" / "a.nii.gz")
    copied = image(tmp_path / "plain" / "b.nii.gz", descrip=DESCRIPTION)
    (tmp_path / "plain" / "c.nii.gz").write_bytes(b"damaged")
    marks = {name: sources[0].phantom for name, sources in find_sources(copied.parent).studies.items()}
    assert marks == {"a": False, "b": True, "c": False}
    assert find_sources(copied).studies["b"][0].phantom
    root = makers.acdc_root(tmp_path / "acdc", 1)
    frame = root / "training" / "patient001" / "patient001_frame01.nii.gz"
    assert not find_sources(frame).studies["patient001"][0].phantom
    (root / MARKER).write_text("{}")
    for path in (root, frame):
        assert all(source.phantom for source in find_sources(path).studies["patient001"])


def test_the_real_phantom_is_one(tiny_phantom: Path) -> None:
    found = find_sources(tiny_phantom)
    assert len(found.studies) == 6 and all(s.phantom for sources in found.studies.values() for s in sources)


# --- start-up -------------------------------------------------------------------------------------------------------


def test_the_data_side_of_prediction_starts_light() -> None:
    code = (
        "import sys; import nibabel; before = set(sys.modules)\n"
        "import compress.data.frames, compress.data.label_file, compress.data.sources\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'scipy', 'torch', 'pydantic', 'yaml', 'onnxruntime', 'onnx', 'matplotlib', 'monai'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_folder_that_one_stands_in_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = makers.acdc_patient(tmp_path, 4)
    monkeypatch.chdir(patient)
    found = find_sources(Path())
    assert found.kind == "acdc"
    assert list(found.studies) == ["patient004"]


def test_half_of_a_data_set_is_never_left_out_in_silence(tmp_path: Path) -> None:
    for half in ("training", "testing"):
        makers.acdc_patient(tmp_path / "acdc" / half, 1)
    for half in ("imagesTr", "imagesTs"):
        image(tmp_path / "raw" / half / "a_0000.nii.gz")
    for folder, halves in (("acdc", "training and testing"), ("raw", "imagesTr and imagesTs")):
        with pytest.raises(DataError, match=f"holds both {halves}. Name one of them"):
            find_sources(tmp_path / folder)


def test_a_model_in_the_place_of_the_image_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(DataError, match="The model comes first"):
        find_sources(tmp_path / "m.onnx")
