"""segment.html in a real browser, from a disk, without a network: what `predict` finds and says, it finds and says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import Browser, browser
from nifti_kit import raw_file

from compress.bundle.ship import ShipRequest, ship
from compress.bundle.web import knowledge
from compress.errors import DataError
from compress.inference.predict import PredictRequest, predict
from compress.runtime.segmenter import Segmenter

TIES = 2e-5
"""Share of voxels that may differ: the network's weights are random, so many of its scores are nearly equal."""
STATUS = "document.getElementById('status').textContent"
DONE = "document.getElementById('progress-part').hidden"
SPACING = {"pixdim": [1, 1.5, 1.5, 8, 1, 1, 1, 1]}


@pytest.fixture(scope="module")
def bundle(sealed_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ship(
        ShipRequest(sealed_path, out=tmp_path_factory.mktemp("web") / "bundle", ungated=True, web=True, threads=1)
    ).folder


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
    page.choose("#files", paths)
    page.wait(f"!{DONE} || {DONE}")
    page.wait(DONE)
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
    saved = tmp_path / "saved"
    saved.mkdir()
    (mask,), report = keep(page, saved)
    out = tmp_path / "out"
    predict(PredictRequest(bundle / "model.onnx", image, out, threads=1))
    expected = json.loads(next(out.glob("*.json")).read_text())
    ours, theirs = gzip.decompress(mask.read_bytes()), gzip.decompress((out / mask.name).read_bytes())
    start = 544 if "nifti2" in name else 352
    assert ours[:start] == theirs[:start], "the header, bit for bit"
    voxels, wanted = np.frombuffer(ours[start:], np.uint8), np.frombuffer(theirs[start:], np.uint8)
    assert len(np.unique(wanted)) > 2 and np.count_nonzero(voxels != wanted) <= max(1, TIES * wanted.size)
    if ours == theirs:
        assert mask.read_bytes() == (out / mask.name).read_bytes(), "packed as Python packs them"
        del report["trace"]["provider"], report["trace"]["versions"]
        del expected["trace"]["provider"], expected["trace"]["versions"]
        assert report == expected


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
