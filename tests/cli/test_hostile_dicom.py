"""Whatever is called DICOM: one line, exit code 2, nothing half-done."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dicom_kit as kit
import pytest
from hostile_kit import Place, Row, check, make_place
from pydicom.dataset import Dataset
from pydicom.uid import UID

from compress.data.sources import find_sources

Damage = Callable[[Path], object]
VOXELS = kit.beating()


def study(damage: Damage, **how: object) -> Callable[[Place], None]:
    """A good scan of 4 slices and 3 frames; `damage` gets its folder."""

    def make(place: Place) -> None:
        place.source = kit.write_study(place.root / "scan", **how)  # pyright: ignore
        damage(place.source)

    return make


def each(change: Callable[[Dataset], object], pattern: str = "*") -> Damage:
    def damage(folder: Path) -> None:
        for path in folder.glob(pattern):
            kit.edit(path, change)

    return damage


def one(change: Callable[[Dataset], object]) -> Damage:
    return each(change, "*_01_01.dcm")


def content(change: Callable[[bytes], bytes], pattern: str = "*_01_01.dcm") -> Damage:
    def damage(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.write_bytes(change(path.read_bytes()))

    return damage


def remove(pattern: str) -> Damage:
    return lambda folder: [path.unlink() for path in folder.glob(pattern)]


def sets(**values: object) -> Callable[[Dataset], object]:
    return lambda data: [setattr(data, name, value) for name, value in values.items()]


def another(folder: Path) -> None:
    """A second image at the place and time of the first slice's first."""
    (_, data), *_ = kit.slices(VOXELS, series=3)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = UID(kit.uid("another"))
    kit.save(folder / "another.dcm", data)


def others(count: int) -> Damage:
    """Only images of another series: `count` localisers."""

    def damage(folder: Path) -> None:
        remove("*")(folder)
        (_, data), *_ = kit.slices(VOXELS[:, :, :8, :8], series=1, orientation=kit.TRANSVERSE)
        kit.save(folder / "0.dcm", data)
        raw, mark = (folder / "0.dcm").read_bytes(), data.SOPInstanceUID.encode()
        for number in range(1, count):
            own = str(number).zfill(6).encode()
            (folder / f"{number}.dcm").write_bytes(raw.replace(mark, mark[:-6] + own))

    return damage


def enhanced(change: Callable[[Dataset], object]) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        place.source = place.root / "scan"
        kit.edit(kit.write_enhanced(place.source / "IM1", VOXELS), change)

    return make


def _nested(raw: bytes) -> bytes:
    """Sequences within sequences without end; written by hand, as writing them would fail as reading does."""
    level = b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = raw.index(b"\xe0\x7f\x10\x00")
    return raw[:at] + level * 3000 + raw[at:]


def before_voxels(block: bytes) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        at = raw.index(b"\xe0\x7f\x10\x00")
        return raw[:at] + block + raw[at:]

    return change


def _items(count: int, length: bytes) -> bytes:
    """A sequence of empty items, of 8 bytes each; pydicom makes a data set of every one."""
    return b"\x00\x52\x30\x92SQ\0\0" + length + b"\xfe\xff\x00\xe0\0\0\0\0" * count


def _says(syntax: str) -> Damage:
    """Another transfer syntax than the voxels have, in a name of equal length."""
    return content(lambda raw: raw.replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0"), 1), "*")


def _sparse(folder: Path) -> None:
    """A description of 80 MB that the file really holds, as a hole."""
    (path,) = folder.glob("*_01_01.dcm")
    raw = path.read_bytes()
    at, size = raw.index(b"\x10\x00\x00\x40LT"), 80 << 20
    with path.open("wb") as stream:
        stream.write(raw[:at] + b"\x08\x00\x3e\x10UT\0\0" + size.to_bytes(4, "little"))
        stream.seek(size, 1)
        stream.write(raw[at:])


def _long(raw: bytes) -> bytes:
    """An element that claims 4 GB, in a file of a few kB."""
    at = raw.index(b"\x10\x00\x00\x40LT")  # PatientComments
    return raw[: at + 4] + b"UT\0\0\xf0\xff\xff\xff" + raw[at + 8 :]


_ROWS = [
    Row("a slice missing", study(remove("s003_01_*")), 2, "slices 1 and 2 of 3 lie 16.0 mm apart, the others 8.0"),
    Row("a frame missing", study(remove("s003_02_01*")), 2, "slice 3 of 4 has 2 frames, the others 3"),
    Row("a slice there twice", study(another), 2, "slice 1 of 4 has 4 frames, the others 3"),
    Row("an image in another's place", study(lambda f: (another(f), remove("*_00_01.dcm")(f))), 2, "one place and one"),
    Row(
        "a slice of two series",
        study(lambda f: kit.write_study(f / "b", VOXELS[:, :1], series=9), per_slice=True),
        2,
        "the slice at -21.8 mm was taken by series 3 and 9",
    ),
    Row("two patients", study(one(sets(PatientID="P2"))), 2, "mixes images of 2 patients"),
    Row("two examinations", study(one(sets(StudyInstanceUID="1.2.3"))), 2, "mixes images of 2 examinations"),
    Row("a slice out of line", study(each(sets(ImagePositionPatient=[9.0, 9.0, 9.0]), "*_01_*")), 2, "mm apart"),
    Row("one file cut in its voxels", study(content(lambda b: b[:-900])), 2, "cut short: 900 of 7680 bytes"),
    Row("one file cut in its header", study(content(lambda b: b[:600])), 2, "claims 0 x 0 pixels"),
    Row("all files cut behind the preamble", study(content(lambda b: b[:132], "*")), 2, "no file in it is an MR image"),
    Row("noise behind the preamble", study(content(lambda b: b[:400] + b"\xff" * 900, "*")), 2, "looks damaged"),
    Row("an element of 4 GB", study(content(_long)), 2, "claims 0 x 0 pixels"),
    Row("lossy video", study(each(lambda d: _syntax(d, "1.2.840.10008.1.2.4.100"))), 2, "transfer syntax 1.2.840"),
    Row("a deflated file", study(each(lambda d: _syntax(d, "1.2.840.10008.1.2.1.99"))), 2, "transfer syntax 1.2.840"),
    Row("no transfer syntax", study(content(lambda b: b.replace(b"1.2.840.10008.1.2.1\0", b"x" * 20))), 2, "xxxx"),
    Row("RLE that unpacks to nothing", study(each(lambda d: _rle(d))), 2, "cannot be read"),
    Row("huge rows", study(one(sets(Rows=65535, Columns=65535))), 2, "claims 65535 x 65535 pixels"),
    Row("huge rows that pass for a slice", study(one(sets(Rows=4096, Columns=4096))), 2, "bytes are missing"),
    Row("a million frames in one file", enhanced(sets(NumberOfFrames="1000000")), 2, "header looks damaged"),
    Row("more frames than are described", enhanced(sets(NumberOfFrames="13")), 2, "cut short"),
    Row("frames without places", enhanced(lambda d: d.pop("PerFrameFunctionalGroupsSequence")), 2, "several frames"),
    Row("sequences within sequences", study(content(_nested)), 2, "is damaged DICOM"),
    Row("too many items", study(content(before_voxels(_items(150_000, b"\x80\x4f\x12\0")))), 2, "far too large"),
    Row("a description of 80 MB", study(_sparse), 2, "header far too large for an image"),
    Row("uncompressed, but says RLE", study(_says("1.2.840.10008.1.2.5")), 2, "its transfer syntax says compressed"),
    Row("compressed, but does not say so", study(content(kit.no_end)), 2, "holds compressed voxels"),
    Row("little endian, but says big", study(_says("1.2.840.10008.1.2.2")), 2, "claims 0 x 0 pixels"),
    Row("fewer voxels than pixels", study(content(kit.short_voxels)), 2, "cut short: 7580 of 7680 bytes"),
    Row("no orientation", study(each(lambda d: d.pop("ImageOrientationPatient"))), 2, "where its slices lie"),
    Row("orientation of zeros", study(each(sets(ImageOrientationPatient=[0] * 6))), 2, "not at right angles"),
    Row("pixels of nothing", study(each(sets(PixelSpacing=[0, 0]))), 2, "has pixels of 0 x 0 mm"),
    Row("a position of letters", study(content(lambda b: b.replace(b"-98.287", b"-98.2x7"), "*_00_*")), 2, "DICOM"),
    Row("trigger times all alike", study(each(sets(TriggerTime="5", InstanceNumber="1"))), 2, "neither times nor"),
    Row("inverted grey levels", study(each(sets(PhotometricInterpretation="MONOCHROME1"))), 2, "MONOCHROME2"),
    Row("long-axis views alone", study(lambda f: None, orientation=kit.LONG_AXIS), 2, "series 3 has 4 slice(s), long"),
    Row("one slice alone", study(lambda f: None, voxels=VOXELS[:, :1]), 2, "holds no short-axis stack"),
    Row("DICOM and NIfTI together", lambda p: _beside(p), 2, "holds both DICOM and heart.nii.gz"),
    Row("one classic file", lambda p: _one_file(p), 2, "holds no short-axis stack"),
]
_NOTHING_TO_DO = ("DICOM and NIfTI together",)
ROWS = [
    replace(row, commands=("predict", "convert"), leaves=() if row.name in _NOTHING_TO_DO else ("summary.csv",))
    for row in _ROWS
]
"""A study that cannot be put together stands in the table of those that failed."""


def _syntax(data: Dataset, uid: str) -> None:
    data.file_meta.TransferSyntaxUID = UID(uid)
    data.PixelData, data["PixelData"].VR = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0abcd", "OB"
    data["PixelData"].is_undefined_length = True


def _rle(data: Dataset) -> None:
    _syntax(data, "1.2.840.10008.1.2.5")


def _beside(place: Place) -> None:
    kit.write_study(place.root, VOXELS[:1, :1])
    place.source = place.root


def _one_file(place: Place) -> None:
    place.source = next(kit.write_study(place.root / "scan").iterdir())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_one_line_and_nothing_left(row: Row, tmp_path: Path, sealed_path: Path, command) -> None:
    check(row, make_place(tmp_path, sealed_path), command)


def test_thousands_of_files_of_another_series_end_in_one_line(tmp_path: Path) -> None:
    """10,000 are measured in benchmarks/ROBUSTNESS.md; what a file takes is kept small here."""
    others(200)(kit.write_study(tmp_path / "scan"))
    read = find_sources(tmp_path / "scan")  # imports, and whatever is made once
    tracemalloc.start()
    again = find_sources(tmp_path / "scan")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (problem,) = again.problems
    assert problem.message.count("\n") == 0 and "holds no short-axis stack: series 1 has 1 slice(s)" in problem.message
    assert read.problems == again.problems and peak < 200 * 4000, "bytes a file"


def test_a_stack_is_found_among_many_files_of_others(tmp_path: Path) -> None:
    others(100)(kit.write_study(tmp_path / "scan" / "other"))
    kit.write_study(tmp_path / "scan" / "cine")
    found = find_sources(tmp_path / "scan")
    assert not found.problems and len(found.studies) == 1
    assert any("series 1: 1 slice(s), transverse" in note or "series 1 " in note for note in found.notes)


def test_one_bad_patient_hides_no_other(tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    place.source = tmp_path / "patients"
    for name in ("a", "b", "c"):
        kit.write_study(place.source / name, VOXELS[:, :, :64, :60], patient=name, study=name)
    remove("*_01_*")(place.source / "b")
    result = command(*place.arguments("predict"))
    assert result.code == 2 and "1 of 3 could not be segmented" in result.err
    assert {path.name for path in place.out.iterdir()} == {
        *(f"{name}.{ending}" for name in "ac" for ending in ("nii.gz", "json")),
        "summary.csv",
    }
    assert "b,failed" in (place.out / "summary.csv").read_text()
