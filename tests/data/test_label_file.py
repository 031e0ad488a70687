"""Written labels lie exactly where their image lies, carry no patient text, and appear whole or not at all."""

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
from compress.data.label_file import write_labels
from compress.data.nifti import read_mask
from compress.data.phantom_marker import DESCRIPTION, is_phantom_image
from compress.errors import DataError, EnvironmentFault

CINE = (4, *makers.SHAPE)
ABOUT_VALUES = {"datatype", "bitpix", "scl_slope", "scl_inter", "descrip"}
"""What the header says of the numbers in the file and of who wrote it; all else says where they lie."""


def assert_same_space(mask: Path, image: Path) -> None:
    """All other raw fields bit for bit, in whatever byte order, and what nibabel makes of them."""
    got, expected = makers.raw_header(mask), makers.raw_header(image)
    assert type(got) is type(expected) and got.endianness == "<"
    for field in set(expected.keys()) - ABOUT_VALUES:
        a, b = np.asarray(got[field]), np.asarray(expected[field])
        assert a.tobytes() == b.astype(b.dtype.newbyteorder("<")).tobytes(), field
    a, b = nib.load(mask), nib.load(image)
    assert np.array_equal(a.affine, b.affine)
    assert a.shape == b.shape and a.header.get_zooms() == b.header.get_zooms()


def cine_labels() -> np.ndarray:
    return np.stack([makers.make_mask(lv) for lv in (6, 5, 4, 3)])


def test_acdc_affine_and_zooms_both_survive(tmp_path: Path) -> None:
    image = makers.save(tmp_path / "i.nii.gz", makers.make_image(1), spacing=(10.0, 1.5625, 1.5625))
    mask = write_labels(tmp_path / "deep" / "m.nii.gz", makers.make_mask(), like=open_image(image))
    assert_same_space(mask, image)
    got = read_mask(mask)
    assert np.array_equal(got.array, makers.make_mask())
    assert got.spacing_mm == (10.0, 1.5625, 1.5625) and np.array_equal(got.affine, makers.ACDC_AFFINE)


finite = st.floats(-1e4, 1e4, width=32)
positive = st.floats(2.0**-10, 1e3, width=32)
row = st.lists(finite, min_size=4, max_size=4)
spatial_fields = st.fixed_dictionaries(
    {
        "pixdim": st.tuples(st.sampled_from([1.0, -1.0]), *[positive] * 3, *[st.just(0.0) | positive] * 4),
        "qform_code": st.integers(0, 4),
        "sform_code": st.integers(0, 4),
        **{f"quatern_{axis}": st.floats(-0.5, 0.5, width=32) for axis in "bcd"},
        **{f"qoffset_{axis}": finite for axis in "xyz"},
        **{f"srow_{axis}": row for axis in "xyz"},
        "xyzt_units": st.sampled_from([0, 2, 10, 18, 8]),
        "toffset": finite,
        "dim_info": st.integers(0, 63),
    }
)


@settings(max_examples=80)
@given(
    fields=spatial_fields,
    version=st.sampled_from([1, 2]),
    endian=st.sampled_from("<>"),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    cine=st.booleans(),
)
def test_any_header_keeps_its_place(
    tmp_path_factory: pytest.TempPathFactory, fields, version, endian, ending, cine
) -> None:
    folder = tmp_path_factory.mktemp("space", numbered=True)
    array = makers.make_image(1, CINE if cine else makers.SHAPE)
    image = raw_file(folder / f"i{ending}", array, version=version, endian=endian, **fields)
    labels = cine_labels() if cine else makers.make_mask()
    mask = write_labels(folder / f"m{ending}", labels, like=open_image(image))
    assert_same_space(mask, image)
    assert np.array_equal(np.asarray(nib.load(mask).dataobj).T, labels)


@pytest.mark.parametrize("version", [1, 2])
def test_the_header_says_labels_and_nothing_private(tmp_path: Path, version: int) -> None:
    texts = {"descrip": b"DOE^JOHN 1970", "aux_file": b"doe.dcm", "intent_name": b"john"}
    texts |= {"db_name": b"doe"} if version == 1 else {"unused_str": b"doe"}
    image = raw_file(
        tmp_path / "i.nii", makers.make_image(1), version=version, scl_slope=2, scl_inter=1, cal_max=90, **texts
    )
    extended = nib.load(image)
    extended.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"JANE DOE"))
    nib.save(extended, image)
    assert b"JANE" in image.read_bytes()
    mask = write_labels(tmp_path / "m.nii", makers.make_mask(), like=open_image(image))
    content, header = mask.read_bytes().lower(), makers.raw_header(mask)
    assert b"doe" not in content and b"john" not in content and header["descrip"].item() == b"cardiocompress"
    assert (header["scl_slope"], header["scl_inter"], header["cal_min"], header["cal_max"]) == (1, 0, 0, 0)
    assert header.get_data_dtype() == np.uint8 and header["bitpix"] == 8 and header["intent_code"] == 0
    assert len(content) == int(header["vox_offset"]) + makers.make_mask().size


def test_a_phantoms_mask_is_no_phantom_image(tmp_path: Path) -> None:
    image = raw_file(tmp_path / "i.nii.gz", makers.make_image(1), descrip=DESCRIPTION)
    mask = write_labels(tmp_path / "m.nii.gz", makers.make_mask(), like=open_image(image))
    assert is_phantom_image(image) and not is_phantom_image(mask)


def test_equal_labels_give_equal_bytes_and_no_leftovers(tmp_path: Path) -> None:
    like = open_image(makers.save(tmp_path / "i.nii.gz", makers.make_image(1)))
    first = write_labels(tmp_path / "a.nii.gz", makers.make_mask(), like=like)
    again = write_labels(tmp_path / "b.nii.gz", np.asfortranarray(makers.make_mask().astype(np.int64)), like=like)
    plain = write_labels(tmp_path / "c.nii", makers.make_mask(), like=like)
    content = first.read_bytes()
    assert content == again.read_bytes() and gzip.decompress(content) == plain.read_bytes()
    assert content[3:8] == b"\0\0\0\0\0"  # no file name, no time
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz", "c.nii", "i.nii.gz"]


def test_stacked_frames_of_a_still_image_are_its_labels(tmp_path: Path) -> None:
    for name, array in (("3d", makers.make_image(1)), ("4d", makers.make_image(1)[None])):
        image = makers.save(tmp_path / f"{name}.nii.gz", array)
        for labels in (makers.make_mask(), makers.make_mask()[None]):
            mask = write_labels(tmp_path / "m.nii.gz", labels, like=open_image(image))
            assert_same_space(mask, image)
            assert np.array_equal(read_mask(mask).array, makers.make_mask())


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.zeros((4, 4), np.uint8), "have shape (4, 4)"),
        (makers.make_mask()[:2], "have shape (2, 24, 20); "),
        (cine_labels(), "have shape (4, 3, 24, 20)"),
        (np.zeros(makers.SHAPE, np.float32), "got float32"),
        (np.full(makers.SHAPE, 256), "from 256 to 256"),
        (np.full(makers.SHAPE, -1), "from -1 to -1"),
    ],
)
def test_refuses_what_does_not_fit(tmp_path: Path, labels: np.ndarray, text: str) -> None:
    like = open_image(makers.save(tmp_path / "i.nii.gz", makers.make_image(1)))
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "m.nii.gz", labels, like=like)
    assert text in str(caught.value) and not (tmp_path / "m.nii.gz").exists()


def test_a_cine_needs_all_its_frames(tmp_path: Path) -> None:
    like = open_image(makers.save(tmp_path / "i.nii.gz", makers.make_image(1, CINE)))
    with pytest.raises(DataError, match=r"shape \(3, 24, 20\); .*i\.nii\.gz has \(4, 3, 24, 20\)"):
        write_labels(tmp_path / "m.nii.gz", makers.make_mask(), like=like)


def test_never_over_the_image_nor_under_another_name(tmp_path: Path) -> None:
    image = makers.save(tmp_path / "i.nii.gz", makers.make_image(1))
    before = image.read_bytes()
    (tmp_path / "link.nii.gz").symlink_to(image)
    for target in (image, tmp_path / "link.nii.gz"):
        with pytest.raises(DataError, match=r"would overwrite its image .*i\.nii\.gz"):
            write_labels(target, makers.make_mask(), like=open_image(image))
    with pytest.raises(DataError, match=r"ends in \.nii\.gz"):
        write_labels(tmp_path / "m.png", makers.make_mask(), like=open_image(image))
    assert image.read_bytes() == before


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = makers.save(tmp_path / "i.nii.gz", makers.make_image(1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip.GzipFile, "write", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        write_labels(tmp_path / "m.nii.gz", makers.make_mask(), like=open_image(image))
    assert [path.name for path in tmp_path.iterdir()] == ["i.nii.gz"]
