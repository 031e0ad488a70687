"""segment.html in a real browser, from a disk, without a network: what `predict` finds and says, it finds and says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import Browser, browser
from dicom_kit import LONG_AXIS, beating, edit, no_end, short_voxels, write_enhanced, write_study
from nifti_kit import raw_file
from pydicom.encaps import encapsulate

from compress.bundle.web import knowledge
from compress.errors import DataError
from compress.inference.predict import PredictRequest, predict
from compress.runtime.segmenter import Segmenter

TIES = 2e-5
"""Share of voxels that may differ: the network's weights are random, so many of its scores are nearly equal."""
STATUS = "document.getElementById('status').textContent"
RUNS = "(document.getElementById('results').dataset.runs ?? '')"
DONE = "document.getElementById('progress-part').hidden"
SPACING = {"pixdim": [1, 1.5, 1.5, 8, 1, 1, 1, 1]}


@pytest.fixture(scope="module")
def page(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        found.size(1280, 900)
        found.open((bundle / "segment.html").as_uri())
        found.wait(f"{STATUS}.includes('Ready')")
        yield found
        assert found.requests == [(bundle / "segment.html").as_uri()] and found.said == []


def give(page: Browser, *paths: Path) -> str:
    """Choose files and wait; what the page says against them."""
    before = page.run(RUNS)
    page.choose("#folder" if paths[0].is_dir() else "#files", paths)
    page.wait(f"{RUNS} !== {json.dumps(before)}")
    return page.run("document.getElementById('messages').innerText")


def keep(page: Browser, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """The masks and the report of the study that is shown."""
    count = page.run("document.querySelectorAll('button.save').length")
    masks = [page.save(f"document.querySelectorAll('button.save')[{i}].click()", folder) for i in range(count)]
    wanted = "[...document.querySelectorAll('.actions button')].find(b => b.textContent.includes('JSON')).click()"
    return masks, json.loads(page.save(wanted, folder).read_text())


def volume(path: Path, frames: int = 1, *, slices: int = 5, **fields: object) -> Path:
    """Noise with a blob, as a 3D image or a cine."""
    shape = (slices, 96, 110)
    noise = np.random.default_rng(3).integers(0, 200, (frames, *shape))
    rows, columns = (np.arange(n) - n / 2 for n in shape[1:])
    radius = np.hypot(rows[:, None], columns)
    size = 20 - 3 * np.arange(frames)[:, None, None, None] - np.arange(slices)[None, :, None, None]
    array = (noise + 700 * (radius < size)).astype(np.int16)
    return raw_file(path, array if frames > 1 else array[0], **(SPACING | fields))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("still.nii.gz", {}),
        ("cine.nii.gz", {"frames": 3}),
        ("big_endian.nii", {"endian": ">", "scl_slope": 0.5, "scl_inter": -3.0}),
        ("nifti2.nii.gz", {"version": 2, "sform_code": 1, "srow_x": [-1.5, 0, 0, 4], "srow_y": [0, -1.5, 0, 7.25],
                           "srow_z": [0, 0, 8, -9]}),
    ],
)  # fmt: skip
def test_masks_and_report_are_those_of_predict(name, how, page, bundle, tmp_path):
    image = volume(tmp_path / "in" / name, **how)
    assert give(page, image) == ""
    assert compare(page, bundle, image, tmp_path)[2], "masks and report, packed as Python packs them"


@pytest.mark.parametrize("how", ["classic", "a series for each slice", "enhanced", "old scanner"])
def test_dicom_is_put_together_as_predict_does(how, page, bundle, tmp_path):
    folder = tmp_path / "P1"
    voxels = beating((3, 5, 96, 80))
    if how == "enhanced":
        write_enhanced(folder / "all.dcm", voxels)
    else:
        write_study(
            folder / "deeper", voxels, per_slice=how.startswith("a series"), change=OLD if "old" in how else None
        )
        write_study(folder / "views", voxels[:, :1], orientation=LONG_AXIS, series=9)
    (folder / "notes.txt").write_text("no DICOM")
    said = give(page, folder)
    assert "was not segmented" not in said
    report_of_page, report, same = compare(page, bundle, folder, tmp_path)
    assert report_of_page["images"][0]["sha256"] == report["images"][0]["sha256"]
    assert same, "masks, header and report"


def OLD(data):
    """Implicit, no trigger times, twelve bits that an overlay shares its words with, a scale."""
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    del data.TriggerTime
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    data.PixelData = (np.frombuffer(data.PixelData, "<u2") | 0x8000).tobytes()
    data.RescaleSlope, data.RescaleIntercept = "1.7", "-20"


def test_a_syntax_that_lies_about_lengths_shifts_no_voxel(page, bundle, tmp_path):
    told = {True: b"UI\x14\x001.2.840.10008.1.2.1\0", False: b"UI\x12\x001.2.840.10008.1.2\0"}
    for explicit in (True, False):

        def change(data, explicit=explicit):
            data.file_meta.TransferSyntaxUID = told[explicit][4:].decode().strip("\0")

        folder = write_study(tmp_path / f"{explicit}" / "P1", change=change)
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes().replace(told[explicit], told[not explicit], 1))
        assert "was not segmented" not in give(page, folder)
        assert compare(page, bundle, folder, tmp_path / f"{explicit}")[2]


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("spoil_it", "words"),
    [
        (lambda folder: [path.unlink() for path in folder.glob("*_02_*")], "a slice is missing"),
        (lambda folder: (folder / "s003_01_01.dcm").unlink(), "files are missing"),
        (lambda folder: write_study(folder, patient="P2", series=9), "mixes images of 2 patients"),
        (lambda folder: edit(folder / "s003_00_00.dcm", lambda d: setattr(d, "TriggerTime", 55.5 + 0)), "one time"),
        (lambda folder: edit(folder / "s003_00_00.dcm", lambda d: setattr(d, "Rows", 5000)), "looks damaged"),
        (lambda folder: edit(folder / "s003_00_00.dcm", lambda d: setattr(d, "PixelData", b"\0" * 64)), "cut short"),
        (lambda folder: edit(folder / "s003_00_00.dcm", lambda d: setattr(d, "PixelSpacing", [0, 2])), "pixels of 0"),
        (lambda folder: rewrite(folder / "s003_00_00.dcm", no_end), "holds compressed voxels"),
        (lambda folder: rewrite(folder / "s003_00_00.dcm", short_voxels), "bytes are missing"),
    ],
)
def test_dicom_is_refused_in_the_same_words(spoil_it, words, page, bundle, tmp_path):
    folder = write_study(tmp_path / "P1")
    spoil_it(folder)
    problem = predict(PredictRequest(bundle / "model.onnx", folder, tmp_path / "out", threads=1)).problems[0].message
    said = give(page, folder)
    assert words in problem
    assert problem.replace(f"{tmp_path}/", "") in said.replace("\n\n", " "), said


PACKED = {
    "1.2.840.10008.1.2.5": "is compressed (RLE), for which this page has no decoder",
    "1.2.840.10008.1.2.4.70": "is compressed (JPEG Lossless), for which this page has no decoder",
    "1.2.840.10008.1.2.4.80": "is compressed (JPEG-LS Lossless), for which this page has no decoder",
    "1.2.840.10008.1.2.4.90": "is compressed (JPEG 2000 Lossless), for which this page has no decoder",
    "1.2.840.10008.1.2.4.50": "has transfer syntax 1.2.840.10008.1.2.4.50; this page reads uncompressed files",
}


def test_packed_dicom_is_named_as_such_with_the_cure(page, tmp_path):
    for number, (syntax, words) in enumerate(PACKED.items()):

        def packed(data, syntax=syntax):
            data.file_meta.TransferSyntaxUID = syntax
            data.PixelData = encapsulate([data.PixelData])

        said = give(page, write_study(tmp_path / f"P{number}", change=packed))
        assert words in said and "gdcmconv --raw" in said, said


@pytest.mark.long
def test_a_large_cine_stays_below_600_MiB(bundle, tmp_path):
    """Forty frames of 12 slices, 256 x 256 pixels: the largest process of the browser, at its peak."""
    array = np.random.default_rng(0).integers(0, 500, (40, 12, 256, 256)).astype(np.int16)
    cine = raw_file(tmp_path / "cine.nii.gz", array, **SPACING)
    with browser(tmp_path / "profile") as page:
        page.open((bundle / "segment.html").as_uri())
        page.wait(f"{STATUS}.includes('Ready')")
        page.choose("#files", [cine])
        page.wait(f"{RUNS} === '1'", seconds=1200)
        assert page.run("document.querySelectorAll('button.save').length") == 1
        processes = page.call("SystemInfo.getProcessInfo")["processInfo"]
        peaks = [_peak_mib(each["id"]) for each in processes]
    print(peaks)
    assert max(peaks) < 600


def _peak_mib(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def compare(page: Browser, bundle: Path, source: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """The page's report, `predict`'s, and whether all is the same but for who computed it."""
    saved, out = folder / "saved", folder / "out"
    saved.mkdir()
    (mask,), ours = keep(page, saved)
    predict(PredictRequest(bundle / "model.onnx", source, out, threads=1))
    theirs = json.loads((out / f"{ours['study']}.json").read_text())
    found, wanted = (gzip.decompress((place / mask.name).read_bytes()) for place in (saved, out))
    start = 544 if wanted[:4] == (540).to_bytes(4, "little") else 352
    assert found[:start] == wanted[:start], "the header, bit for bit"
    voxels, labels = np.frombuffer(found[start:], np.uint8), np.frombuffer(wanted[start:], np.uint8)
    assert len(np.unique(labels)) > 2 and np.count_nonzero(voxels != labels) <= max(1, TIES * labels.size)
    if found != wanted:
        return ours, theirs, True
    told = [{**report, "trace": {**report["trace"], "provider": "", "versions": {}}} for report in (ours, theirs)]
    return ours, theirs, told[0] == told[1] and mask.read_bytes() == (out / mask.name).read_bytes()


def spoil(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"\xff" * 40
    path.write_bytes(content)
    return path


def labels(path: Path) -> Path:
    return raw_file(path, (np.arange(5 * 96 * 110).reshape(5, 96, 110) // 999 % 4).astype(np.uint8), **SPACING)


@pytest.mark.parametrize(
    ("make", "same"),
    [
        (lambda folder: labels(folder / "labels.nii.gz"), True),
        (lambda folder: volume(folder / "long_axis.nii.gz", 2, slices=1), True),
        (lambda folder: volume(folder / "far.nii.gz", pixdim=[1, 9, 9, 8, 1, 1, 1, 1]), True),
        (lambda folder: volume(folder / "swapped.nii.gz", pixdim=[1, 8, 1.5, 1.5, 1, 1, 1, 1]), True),
        (lambda folder: volume(folder / "two_sizes.nii", sform_code=1, srow_x=[3, 0, 0, 0], srow_y=[0, 3, 0, 0],
                               srow_z=[0, 0, 8, 0]), True),
        (lambda folder: volume(folder / "metres.nii", xyzt_units=1), True),
        (lambda folder: volume(folder / "no_size.nii", pixdim=[1, 1.5, 0, 8, 1, 1, 1, 1]), True),
        (lambda folder: volume(folder / "huge.nii", dim=[3, 32000, 32000, 2, 1, 1, 1, 1]), True),
        (lambda folder: volume(folder / "cut.nii", dim=[3, 110, 96, 6, 1, 1, 1, 1]), True),
        (lambda folder: raw_file(folder / "flat.nii.gz", np.full((5, 96, 110), 7, np.int16), **SPACING), True),
        (lambda folder: raw_file(folder / "nan.nii", np.full((5, 96, 110), np.nan, np.float32), **SPACING), True),
        (lambda folder: spoil(volume(folder / "spoilt.nii.gz")), False),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_in_the_same_words(make, same, page, bundle, tmp_path):
    path = make(tmp_path)
    with pytest.raises(DataError) as told:
        list(Segmenter(bundle / "model.onnx", threads=1).segment_frames(path))
    said = give(page, path)
    message = told.value.message.replace(f"{path.parent}/", "")
    assert (message if same else message.split(":")[0]) in said
    offered = page.run("[...document.querySelectorAll('#messages button')].map(b => b.textContent)")
    forced = "--force" in told.value.cure
    assert offered == (["Segment anyway"] if forced else [])
    cure = told.value.cure.partition("; or pass --force")[0]
    assert cure in said and ("--force" not in said)


def test_a_person_may_overrule_a_doubt(page, tmp_path):
    path = volume(tmp_path / "single.nii.gz", slices=1)
    assert "single-slice" in give(page, path)
    page.run("document.querySelector('#messages button').click()")
    page.wait(f"{DONE} && document.querySelector('.result h2').textContent.startsWith('single')")
    shown = page.run("document.querySelector('.result').innerText")
    assert (
        "Forced although it has 1 slice" in shown
        and knowledge.knowledge()["study"]["words"]["no-volumes"][:40] in shown
    )
    assert "ml" not in page.run("document.querySelector('.keys')?.innerText ?? ''")


def test_other_files_are_told_apart(page, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    assert "notes.txt is no NIfTI file by its name" in give(page, text)
    image, mask = volume(tmp_path / "a.nii.gz"), labels(tmp_path / "a_gt.nii.gz")
    assert "a_gt.nii.gz is a mask by its name" in give(page, image, mask)


@pytest.mark.parametrize("width", [1280, 390, 360])
def test_it_fits_and_a_keyboard_moves_the_slider(width, page, tmp_path):
    page.size(width, 900, phone=width < 1000)
    assert give(page, volume(tmp_path / "still.nii.gz")) == ""
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.getElementById('slice-0').focus()")
    before = page.run("document.querySelector('.stage canvas').getAttribute('aria-label')")
    page.press("ArrowRight")
    after = page.run("document.querySelector('.stage canvas').getAttribute('aria-label')")
    assert before.startswith("Slice 3 of 5") and after.startswith("Slice 4 of 5")
    page.size(1280, 900)


def test_axe_finds_no_serious_fault(page, tmp_path):
    axe = Path(str(knowledge.__file__)).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is not installed (npm ci in compress/bundle/web)")
    assert give(page, volume(tmp_path / "cine.nii.gz", 3)) == ""
    found = page.run(f"{axe.read_text()}; axe.run().then(found => found.violations.map(v => [v.id, v.impact]))")
    assert [fault for fault in found if fault[1] in ("serious", "critical")] == []
