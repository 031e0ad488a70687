"""Stacks out of generated DICOM files: whatever their order and kind, the same voxels at the same place."""

from __future__ import annotations

import shutil
from pathlib import Path

import dicom_kit as kit
import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import UID

from compress.data.convert import convert
from compress.data.dicom import header
from compress.data.dicom.examination import read_examination
from compress.data.dicom.views import describe_view, is_short_axis, upright
from compress.data.sources import find_sources
from compress.errors import ConfigError, DataError

VOXELS = kit.beating()


def only_stack(folder: Path) -> np.ndarray:
    """(T, Z, Y, X) of the one stack in a folder."""
    found = read_examination(folder)
    assert len(found.stacks) == 1 and not found.faults, found
    return np.stack(list(found.stacks[0].open().volumes()))


def test_a_cine_is_read_as_it_was_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(only_stack(kit.write_study(tmp_path)), VOXELS)


def test_one_series_for_each_slice_is_joined(tmp_path: Path) -> None:
    kit.write_study(tmp_path, per_slice=True)
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)
    assert read_examination(tmp_path).stacks[0].numbers == (3, 4, 5, 6)


def test_an_enhanced_file_is_the_same_scan(tmp_path: Path) -> None:
    kit.write_enhanced(tmp_path / "IM1", VOXELS)
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)
    (source,) = find_sources(tmp_path / "IM1").studies["IM1"]
    np.testing.assert_array_equal(np.stack(list(source.image.open().volumes())), VOXELS)


def test_names_and_numbers_of_files_do_not_matter(tmp_path: Path) -> None:
    kit.write_study(tmp_path / "a")
    files = sorted((tmp_path / "a").iterdir())
    for number, index in enumerate(np.random.default_rng(0).permutation(len(files))):
        moved = tmp_path / "b" / "DEEP" / f"IM{number}"
        moved.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[index], moved)
        kit.edit(moved, lambda data, number=number: setattr(data, "InstanceNumber", number))
    np.testing.assert_array_equal(only_stack(tmp_path / "b"), VOXELS)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"])
def test_other_byte_orders_and_packings(tmp_path: Path, syntax: str) -> None:
    def change(data) -> None:
        if syntax.endswith(".5"):
            data.compress(UID(syntax))
        elif syntax.endswith(".2.2"):
            data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
        data.file_meta.TransferSyntaxUID = UID(syntax)

    np.testing.assert_array_equal(only_stack(kit.write_study(tmp_path, change=change)), VOXELS)


@pytest.mark.parametrize("explicit", [True, False])
def test_a_syntax_that_lies_about_lengths_shifts_no_voxel(tmp_path: Path, explicit: bool) -> None:
    """Explicit and implicit files begin their voxels at 12 and 8 bytes: what is there counts, not what is said."""
    told = {True: b"UI\x14\x001.2.840.10008.1.2.1\0", False: b"UI\x12\x001.2.840.10008.1.2\0"}

    def change(data) -> None:
        data.file_meta.TransferSyntaxUID = UID(told[explicit][4:].decode().strip("\0"))

    for path in kit.write_study(tmp_path, change=change).iterdir():
        path.write_bytes(path.read_bytes().replace(told[explicit], told[not explicit], 1))
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)


@pytest.mark.parametrize(
    "block",
    [
        b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 400,
        b"\x11\x53\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 400,
        b"\x11\x53\x01\x10LO\0\0" * 4000,
    ],
    ids=["items without an end", "of a private sequence", "elements"],
)
def test_a_header_that_costs_too_much_is_given_up(tmp_path: Path, block: bytes, monkeypatch) -> None:
    path = min(kit.write_study(tmp_path).iterdir())
    raw = path.read_bytes()
    at = raw.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(raw[:at] + block + raw[at:])
    monkeypatch.setattr(header, "MAX_EFFORT", 2**17)
    assert "far too large" not in str(header.read_instance(max(tmp_path.iterdir())))
    with pytest.raises(DataError, match="header far too large for an image"):
        header.read_instance(path)


def test_grey_levels_are_scaled_as_each_file_says(tmp_path: Path) -> None:
    def change(data) -> None:
        data.RescaleSlope, data.RescaleIntercept = "2.5", "-7"
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
        data.PixelData = (np.frombuffer(data.PixelData, "<u2") | 0xF000).tobytes()  # an overlay in the spare bits

    np.testing.assert_allclose(only_stack(kit.write_study(tmp_path, change=change)), VOXELS * 2.5 - 7)


@pytest.mark.parametrize("turned", range(8))
def test_nifti_lies_where_the_scan_lay_in_the_patient(tmp_path: Path, turned: int) -> None:
    """Each voxel that is marked in a DICOM file has its millimetres in the NIfTI, whichever way slices were stored."""
    row, column = np.reshape(kit.OBLIQUE, (2, 3)) * [[(-1) ** turned], [(-1) ** (turned // 2)]]
    orientation = (*column, *row) if turned >= 4 else (*row, *column)
    mark, z = (11, 37), 2
    voxels = VOXELS.copy()
    voxels[1, z, mark[0], mark[1]] = 5000
    kit.write_study(tmp_path / "in", voxels, orientation=tuple(map(float, orientation)))
    (path,) = convert(tmp_path / "in", tmp_path / "out").written
    image = nib.loadsave.load(path)
    array = np.asarray(image.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    x, y, k, t = (int(n[0]) for n in np.nonzero(array == 5000))
    found = nib.affines.apply_affine(image.affine, [x, y, k])  # pyright: ignore[reportAttributeAccessIssue]
    steps = np.reshape(orientation, (2, 3))
    place = kit.position(z, orientation) + steps[0] * mark[1] * kit.SPACING[2] + steps[1] * mark[0] * kit.SPACING[1]
    np.testing.assert_allclose(found, np.array([-1, -1, 1]) * place, atol=1e-3)
    assert t == 1
    pixel = kit.SPACING[1:] if turned >= 4 else kit.SPACING[:0:-1]
    np.testing.assert_allclose(image.header.get_zooms(), (*pixel, kit.SPACING[0], 0.0355), rtol=1e-5)
    assert nib.orientations.aff2axcodes(image.affine)[1] == "I", "head up"
    assert b"Doe" not in image.header.binaryblock and b"P1" not in image.header.binaryblock


def test_turning_upright_and_back(tmp_path: Path) -> None:
    stored = np.arange(12).reshape(3, 4)
    for row in (1, -1):
        for column in (1, -1):
            for order in (1, -1):
                turn = upright(np.ravel((np.reshape(kit.OBLIQUE, (2, 3)) * [[row], [column]])[::order]).tolist())
                np.testing.assert_array_equal(turn.back(turn.forward(stored)), stored)
                assert (turn.swap, turn.forward(stored).shape) == (order < 0, (3, 4)[::order])


def test_views_by_orientation() -> None:
    assert is_short_axis(kit.OBLIQUE)
    assert not is_short_axis(kit.LONG_AXIS) and "long axis (88 degrees" in describe_view(kit.LONG_AXIS)
    assert "transverse" in describe_view(kit.TRANSVERSE)
    assert "coronal" in describe_view((1, 0, 0, 0, 0, -1)) and "sagittal" in describe_view((0, 1, 0, 0, 0, -1))


def test_other_series_are_left_out_and_named(tmp_path: Path) -> None:
    kit.write_study(tmp_path / "a")
    kit.write_study(tmp_path / "b", VOXELS[:1], series=20, orientation=kit.TRANSVERSE)
    kit.write_study(tmp_path / "c", VOXELS[:, :1], series=30, orientation=kit.LONG_AXIS)
    kit.write_study(tmp_path / "d", VOXELS[:1], series=40)
    kit.write_study(tmp_path / "e", VOXELS, series=50, change=lambda d: setattr(d, "ImageType", ["O", "P", "P"]))
    (tmp_path / "readme.txt").write_text("no image")
    kit.save(tmp_path / "report", _report())
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)
    said = "\n".join(read_examination(tmp_path).notes)
    for words in (
        "series 3 'cine sax': short axis, 4 slices, 3 frames",
        "series 20 'cine sax': 4 slice(s), transverse",
        "series 30 'cine sax': 1 slice(s), long axis",
        "series 40 'cine sax': short axis without motion, beside a cine: left out",
        "series 50 'cine sax': 4 slice(s), phase images: left out",
        "1 file(s) left out: not DICOM",
        "1 file(s) left out: no MR image",
    ):
        assert words in said, said


def _report():
    (_, data), *_ = kit.slices(VOXELS, series=60)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.22")
    return data


def test_two_short_axis_scans_are_two_studies(tmp_path: Path) -> None:
    kit.write_study(tmp_path / "p" / "a")
    kit.write_study(tmp_path / "p" / "b", VOXELS, series=9)
    found = find_sources(tmp_path / "p")
    assert found.kind == "dicom" and list(found.studies) == ["p_series3", "p_series9"]


def test_a_subfolder_for_each_patient(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        for study in ("x", "y"):
            kit.write_study(tmp_path / name / study / "SE1", VOXELS[:2, :3], patient=name, study=study)
            kit.write_study(tmp_path / name / study / "SE2", VOXELS[:, :1], patient=name, study=study, series=9)
    found = find_sources(tmp_path)
    assert list(found.studies) == ["anna_x", "anna_y", "bert_x", "bert_y"]
    assert list(find_sources(tmp_path / "anna" / "x").studies) == ["x"]


def test_without_trigger_times_the_numbers_count_and_this_is_said(tmp_path: Path) -> None:
    kit.write_study(tmp_path, change=lambda data: data.pop("TriggerTime"))
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)
    assert "tells no trigger times: frames are in the order of their numbers" in read_examination(tmp_path).notes[-1]


def test_a_copy_of_a_file_is_left_out_and_said(tmp_path: Path) -> None:
    kit.write_study(tmp_path)
    shutil.copy(next(tmp_path.iterdir()), tmp_path / "copy.dcm")
    np.testing.assert_array_equal(only_stack(tmp_path), VOXELS)
    assert "1 file(s) left out: a copy of another" in read_examination(tmp_path).notes[0]


def test_no_image_is_replaced_and_nothing_partial_left(tmp_path: Path) -> None:
    kit.write_study(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"in\.nii\.gz is already there"):
        convert(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").iterdir()
    whole, made = path.read_bytes(), path.stat().st_mtime_ns
    path.with_name(".in.nii.abcdefgh.partial.gz").write_bytes(b"half")
    kept = convert(tmp_path / "in", tmp_path / "out", earlier="resume")
    assert (kept.written, kept.kept, path.stat().st_mtime_ns) == ([path], 1, made)
    path.write_bytes(b"another's")
    with pytest.raises(ConfigError, match="made of another image"):
        convert(tmp_path / "in", tmp_path / "out", earlier="resume")
    assert convert(tmp_path / "in", tmp_path / "out", earlier="restart").kept == 0
    assert path.read_bytes() == whole
    sources = find_sources(tmp_path / "in")
    next((tmp_path / "in").glob("*_03_02.dcm")).write_bytes(b"")
    with pytest.raises(DataError, match=r"cut short|cannot be read"):
        list(sources.studies["in"][0].image.open().volumes())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.nii.gz"]
