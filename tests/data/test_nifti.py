"""NIfTI files: read whole and right, or refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import makers
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_kit import raw_file

from compress.data.frames import open_image
from compress.data.nifti import read_image, read_mask
from compress.errors import DataError


def patched(path: Path, target: Path, **fields: object) -> Path:
    """A copy of the file at `path` with raw header fields overwritten, as a damaged file would have them."""
    content = gzip.decompress(path.read_bytes())
    header = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    target.write_bytes(gzip.compress(header.binaryblock + content[348:]))
    return target


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return makers.save(tmp_path / "image.nii.gz", makers.make_image(1))


def test_image_is_float32_zyx_with_spacing_from_the_zooms(image: Path) -> None:
    got = read_image(image)
    assert got.array.dtype == np.float32
    assert np.array_equal(got.array, makers.make_image(1))
    assert got.spacing_mm == makers.SPACING
    assert np.array_equal(got.affine, makers.ACDC_AFFINE)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("cls", [nib.Nifti1Image, nib.Nifti2Image])
def test_both_nifti_versions_packed_or_not(tmp_path: Path, ending: str, cls: type) -> None:
    path = tmp_path / f"v{ending}"
    nib.save(cls(makers.make_image(2).T, np.eye(4)), path)
    assert np.array_equal(read_image(path).array, makers.make_image(2))


def test_agrees_with_nibabel_on_a_scaled_file(tmp_path: Path) -> None:
    scaled = nib.Nifti1Image(np.linspace(-3, 7, 240).reshape(4, 5, 12), np.eye(4))
    scaled.header.set_data_dtype(np.int16)
    nib.save(scaled, tmp_path / "s.nii.gz")
    expected = nib.load(tmp_path / "s.nii.gz").get_fdata(dtype=np.float32)
    assert np.allclose(read_image(tmp_path / "s.nii.gz").array, expected.T, rtol=1e-6)


def test_content_decides_not_the_name(image: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked.nii.gz"
    unpacked.write_bytes(gzip.decompress(image.read_bytes()))
    assert np.array_equal(read_image(unpacked).array, makers.make_image(1))


def test_one_frame_of_four_dimensions_is_3d(tmp_path: Path) -> None:
    path = makers.save(tmp_path / "one.nii.gz", makers.make_image(3)[None])
    assert read_image(path).array.shape == makers.SHAPE


def broken_files(tmp_path: Path, image: Path) -> dict[str, tuple[Path, str]]:
    """name -> (file, what its error must say)."""
    new = tmp_path / "broken"
    new.mkdir()
    whole = image.read_bytes()
    plain = gzip.decompress(whole)
    contents = {
        "empty": (b"", "is empty"),
        "text": (b"not an image, " * 60, "not a single-file NIfTI"),
        "packed_text": (gzip.compress(b"hello" * 200), "not a single-file NIfTI"),
        "short": (b"\x00" * 20, "not a single-file NIfTI"),
        "cut": (whole[: len(whole) // 2], "Copy or download"),
        "cut_header": (whole[:40], "Copy or download"),
        "no_checksum": (whole[:-6], "Copy or download"),
        "checksum": (whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:], "CRC check failed"),
        "bad_gzip": (whole[:40] + b"\xff" * 40 + whole[80:], "Copy or download"),
        "header_alone": (plain[:348], "truncated"),
        "cut_plain": (plain[:600], "truncated"),
        "cut_voxel": (plain[:-1], "truncated"),
        "cut_packed": (gzip.compress(plain[:-2]), "truncated, 2 bytes are missing"),
        "noise": (b"\x1f\x8b" + b"\x07" * 100, "cannot be read"),
    }
    for name, (content, _) in contents.items():
        (new / f"{name}.nii.gz").write_bytes(content)
    bad = makers.make_image(1).astype(np.float32)
    bad[0, 0, :2] = np.nan, np.inf
    dims = lambda *d: np.array([*d, *[1] * (8 - len(d))], dtype=np.int16)  # noqa: E731
    made = {name: (new / f"{name}.nii.gz", text) for name, (_, text) in contents.items()}
    offsets = {"nan": "cannot be read", "inf": "cannot be read", "1e9": "truncated", "-1e9": "inside the header"}
    made |= {f"o{at}": (patched(image, new / f"o{at}.nii.gz", vox_offset=float(at)), t) for at, t in offsets.items()}
    for size in (0, -1, np.nan, np.inf):
        path = patched(image, new / f"zoom{size}.nii.gz", pixdim=[1, size, 1, 1, 1, 1, 1, 1])
        made[f"zoom{size}"] = (path, "not positive")
    for count, text in {0: "empty or negative", -1: "empty or negative", 8: "expected 3D"}.items():
        made[f"dims{count}"] = (patched(image, new / f"dims{count}.nii.gz", dim=dims(count, 20, 24, 3)), text)
    return made | {
        "missing": (new / "none.nii.gz", "No such file"),
        "folder": (new, "cannot be read"),
        "nan": (makers.save(new / "nan.nii.gz", bad), "2 NaN or infinite"),
        "cine": (makers.save(new / "4d.nii.gz", makers.make_image(1, (5, *makers.SHAPE))), "Extract the ED and ES"),
        "flat": (makers.save(new / "2d.nii.gz", np.ones((4, 4), np.int16), spacing=(1, 1)), "2D"),
        "zero_dim": (patched(image, new / "zero.nii.gz", dim=dims(3, 20, 0, 3)), "empty or negative dimension"),
        "negative": (patched(image, new / "neg.nii.gz", dim=dims(3, 20, -4, 3)), "empty or negative dimension"),
        "absurd": (patched(image, new / "huge.nii.gz", dim=dims(3, 32767, 32767, 32767)), "header looks damaged"),
        "promises": (patched(image, new / "more.nii.gz", dim=dims(3, 4000, 4000, 3)), "truncated"),
        "metres": (patched(image, new / "metres.nii.gz", xyzt_units=1), "metres"),
        "complex": (patched(image, new / "complex.nii.gz", datatype=32, bitpix=64), "plain numbers"),
        "unknown_type": (patched(image, new / "type.nii.gz", datatype=9999), "NIfTI voxel type 9999"),
        "low_offset": (patched(image, new / "low.nii.gz", vox_offset=20), "inside the header"),
        "bad_slope": (patched(image, new / "slope.nii.gz", scl_slope=2, scl_inter=np.nan), "cannot be read"),
        "five": (makers.save(new / "5d.nii.gz", makers.make_image(1, (2, 1, *makers.SHAPE))), "is 5D"),
        "colour": (patched(image, new / "colour.nii.gz", datatype=128, bitpix=24), "voxel type 128"),
        "turn": (patched(image, new / "turn.nii.gz", sform_code=0, qform_code=1, quatern_b=3.0), "damaged orientation"),
        "sform": (patched(image, new / "sform.nii.gz", srow_x=[np.nan, 0, 0, 0]), "affine"),
    }


def test_every_broken_file_is_one_line_that_names_it(tmp_path: Path, image: Path) -> None:
    for name, (path, text) in broken_files(tmp_path, image).items():
        for read in (read_image, read_mask, *([] if name == "cine" else [lambda p: list(open_image(p).volumes())])):
            with pytest.raises(DataError) as caught:
                read(path)
            message = str(caught.value)
            assert text in message, f"{name}: {message}"
            assert path.name in message and "\n" not in message, f"{name}: {message}"


@settings(max_examples=150, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_header_never_lets_another_exception_out(tmp_path_factory, edits) -> None:
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    content = bytearray(nib.Nifti1Image(makers.make_image(1).T, np.eye(4)).to_bytes())
    for position, value in edits:
        content[position] = value
    (folder / "f.nii").write_bytes(content)
    try:
        got = read_image(folder / "f.nii")
    except DataError:
        return
    assert got.array.ndim == 3 and np.isfinite(got.array).all() and min(got.spacing_mm) > 0


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.5"), (0.998, "0.998"), (2.002, "2.002"), (-1, "-1"), (300, "300")]
)
def test_mask_values_are_small_whole_numbers(tmp_path: Path, value: float, shown: str) -> None:
    mask = makers.make_mask().astype(np.float32)
    mask[0, 0, 0] = value
    with pytest.raises(DataError, match=f"it holds {shown}; labels are whole numbers"):
        read_mask(makers.save(tmp_path / "m.nii.gz", mask))


def test_float_masks_of_whole_numbers_are_read(tmp_path: Path) -> None:
    got = read_mask(makers.save(tmp_path / "m.nii.gz", makers.make_mask().astype(np.float64)))
    assert got.array.dtype == np.uint8 and np.array_equal(got.array, makers.make_mask())


@pytest.mark.parametrize(
    "kind, slope", [(np.int16, 0.0001), (np.int32, 1 / 30000), (np.uint16, 0.003), (np.int16, 0.00392)]
)
def test_masks_that_a_scaling_rounds_are_label_maps(tmp_path: Path, kind: type, slope: float) -> None:
    """As nibabel and fslmaths write them: 10000 times a scaling of 0.0001 is 0.99999997."""
    stored = np.rint(makers.make_mask() / slope).astype(kind)
    got = read_mask(raw_file(tmp_path / "m.nii.gz", stored, scl_slope=slope, pixdim=[1, 1.25, 1.5, 10, 1, 1, 1, 1]))
    assert np.array_equal(got.array, makers.make_mask())
