""".mha, .nrrd and .hdr with .img: the same volumes as in NIfTI, in every layout; hostile ones end in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from makers import make_image, make_mask

from compress.data.check import check_folder
from compress.data.convert import convert
from compress.data.frames import open_image
from compress.data.label_file import write_labels
from compress.data.layouts import find_cases, read_volume
from compress.data.nifti import read_image
from compress.data.sources import find_sources
from compress.errors import DataError

sitk = pytest.importorskip("SimpleITK")
ENDINGS = (".mha", ".nrrd", ".hdr")
TURN = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def save(path: Path, array: np.ndarray, *, turn: tuple[float, ...] = TURN, packed: bool = False) -> Path:
    """(Z, Y, X) or (T, Z, Y, X), turned about z, in a place of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 4:
        image = sitk.JoinSeries([sitk.GetImageFromArray(frame) for frame in array], 0.0, 40.0)
        image.SetSpacing((1.25, 1.5, 10.0, 40.0))
    else:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.25, 1.5, 10.0))
        image.SetDirection(turn)
        image.SetOrigin((7.0, -5.0, 30.0))
    written = path.with_suffix(".img") if path.suffix == ".hdr" else path.with_name(path.name.lower())
    sitk.WriteImage(image, str(written), packed)
    return path if path.suffix == ".hdr" else written.rename(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_and_geometry_are_those_that_nifti_has(ending: str, tmp_path: Path) -> None:
    array = make_image(3)
    mine, theirs = (open_image(save(tmp_path / f"a{each}", array)) for each in (ending, ".nii.gz"))
    assert (mine.shape, mine.frames) == (array.shape, 1) == (theirs.shape, theirs.frames)
    assert mine.spacing == pytest.approx((10.0, 1.5, 1.25), abs=1e-6)
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-5)
    np.testing.assert_array_equal(read_image(mine).array, array)
    assert len(mine.digest) == 64
    mask = write_labels(tmp_path / "mask.nii.gz", make_mask(), like=mine)
    written = sitk.ReadImage(str(mask))
    source = sitk.ReadImage(str(tmp_path / f"a{ending}"))
    for told in ("GetSize", "GetSpacing", "GetDirection", "GetOrigin"):
        np.testing.assert_allclose(getattr(written, told)(), getattr(source, told)(), atol=1e-4)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_cine_frame_by_frame(ending: str, tmp_path: Path) -> None:
    array = np.stack([make_image(n) for n in range(4)])
    file = open_image(save(tmp_path / f"cine{ending}", array, packed=True))
    assert file.frames == 4
    np.testing.assert_array_equal(np.stack(list(file.volumes())), array)


@pytest.mark.parametrize("ending", [*ENDINGS, ".MHA", ".NII.GZ"])
def test_every_layout_reads_them(ending: str, tmp_path: Path) -> None:
    raw, acdc = tmp_path / "raw", tmp_path / "acdc" / "training" / "patient001"
    for frame, lv in ((1, 6), (8, 3)):
        save(raw / "imagesTr" / f"c1_frame{frame:02d}_0000{ending}", make_image(frame))
        save(raw / "labelsTr" / f"c1_frame{frame:02d}{ending}", make_mask(lv))
        save(acdc / f"patient001_frame{frame:02d}{ending}", make_image(frame))
        save(acdc / f"patient001_frame{frame:02d}_gt{ending}", make_mask(lv))
    (acdc / "Info.cfg").write_text("ED: 1\nES: 8\n")
    if ending != ending.lower():
        with pytest.raises(DataError, match="has it in lower case"):
            find_cases(raw)
    for folder in (raw, tmp_path / "acdc")[ending != ending.lower() :]:
        cases = find_cases(folder)
        assert [case.phase for case in cases] == ["ED", "ES"]
        for case, lv in zip(cases, (6, 3), strict=True):
            np.testing.assert_array_equal(read_volume(case).mask, make_mask(lv))
        assert not check_folder(folder).problems
        assert [s.output[-7:] for s in find_sources(folder).studies.popitem()[1]] == [".nii.gz"] * 2
    plain = find_sources(save(tmp_path / "plain" / f"heart{ending}", make_image(1)).parent)
    assert list(plain.studies) == ["heart"]
    assert [p.name for p in convert(tmp_path / "plain", tmp_path / "out").written] == ["heart.nii.gz"]


HOSTILE = {
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:-300]), ""),
    "text": (lambda p: p.write_text("heart\n"), ""),
    "empty": (lambda p: p.write_bytes(b""), ""),
    "huge": (lambda p: p.write_bytes(p.read_bytes().replace(b"20 24 3", b"99999 99999 9", 1)), "claims"),
    "voxels elsewhere": (
        lambda p: p.write_bytes(
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 20 24 3\nencoding: raw\ndata file: /etc/passwd\n\n"
            if p.suffix == ".nrrd"
            else p.read_bytes().replace(b"= LOCAL", b"= /etc/passwd")
        ),
        "no voxels of its own",
    ),
    "no size": (lambda p: p.write_bytes(p.read_bytes().replace(b"1.25", b"0.00")), ""),
}


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_end_in_one_line(kind: str, ending: str, tmp_path: Path) -> None:
    path, (damage, says) = save(tmp_path / f"a{ending}", make_image(0), turn=(1, 0, 0, 0, 1, 0, 0, 0, 1)), HOSTILE[kind]
    damage(path)
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert says in str(caught.value) and path.name in str(caught.value) and "\n" not in str(caught.value)


def test_colours_and_a_lonely_header(tmp_path: Path) -> None:
    colours = sitk.GetImageFromArray(np.zeros((3, 8, 8, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "c.nrrd"))
    with pytest.raises(DataError, match="3 numbers in each voxel"):
        open_image(tmp_path / "c.nrrd")
    path = save(tmp_path / "a.hdr", make_image(0))
    whole = find_sources(path).studies["a"][0].image.digest()
    voxels = path.with_suffix(".img")
    voxels.write_bytes(voxels.read_bytes()[:-2] + b"\0\1")
    assert find_sources(path).studies["a"][0].image.digest() != whole
    voxels.rename(tmp_path / "far")
    voxels.symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="leads out of its folder"):
        open_image(path)
    voxels.unlink()
    with pytest.raises(DataError, match=r"a\.img is missing"):
        open_image(path)


def test_without_simpleitk_the_cure_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.mha", make_image(0))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"SimpleITK, which is not installed.*\[itk\]"):
        open_image(tmp_path / "a.mha")
