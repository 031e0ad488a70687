"""Images and cines read frame by frame: the same numbers as whole reads, one frame in memory, faults by frame."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import makers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_kit import raw_file

from compress.data import frames, nifti_file
from compress.data.frames import open_image
from compress.data.nifti import read_image
from compress.errors import DataError

CINE = (5, *makers.SHAPE)


def test_header_only_facts_of_image_and_cine(tmp_path: Path) -> None:
    image = open_image(makers.save(tmp_path / "i.nii.gz", makers.make_image(1)))
    cine = open_image(makers.save(tmp_path / "c.nii.gz", makers.make_image(1, CINE)))
    one = open_image(makers.save(tmp_path / "o.nii.gz", makers.make_image(1)[None]))
    assert [(f.frames, f.is_cine) for f in (image, cine, one)] == [(1, False), (5, True), (1, False)]
    for found in (image, cine, one):
        assert found.shape == makers.SHAPE and found.spacing == makers.SPACING
        assert np.array_equal(found.affine, makers.ACDC_AFFINE)


dtypes = st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
scalings = st.sampled_from([(1, 0), (0, 7), (np.nan, 0), (0.5, -3), (1 / 3, 0.1), (1, 2), (-2.5, 1e6)])


@settings(max_examples=60)
@given(
    dtype=dtypes,
    scaling=scalings,
    version=st.sampled_from([1, 2]),
    endian=st.sampled_from("<>"),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    shape=st.tuples(st.integers(1, 4), *[st.integers(1, 5)] * 3),
    seed=st.integers(0, 99),
)
def test_frames_are_bit_equal_to_whole_reads(
    tmp_path_factory: pytest.TempPathFactory, dtype, scaling, version, endian, ending, shape, seed
) -> None:
    folder = tmp_path_factory.mktemp("frames", numbered=True)
    array = (np.random.default_rng(seed).random(shape) * 250).astype(dtype)
    how = {"version": version, "endian": endian, "scl_slope": scaling[0], "scl_inter": scaling[1]}
    cine = raw_file(folder / f"cine{ending}", array, **how)
    got = list(open_image(cine).volumes())
    assert len(got) == shape[0]
    for number, frame in enumerate(got):
        path = raw_file(folder / f"{number}{ending}", array[number], **how)
        whole, (alone,) = read_image(path).array, open_image(path).volumes()
        assert frame.dtype == whole.dtype == alone.dtype == np.float32 and frame.dtype.isnative
        assert np.array_equal(frame, whole) and np.array_equal(alone, whole) and whole.shape == shape[1:]


def test_scaling_is_nibabels(tmp_path: Path) -> None:
    nib = pytest.importorskip("nibabel")
    path = raw_file(tmp_path / "c.nii", makers.make_image(2, CINE), scl_slope=0.3, scl_inter=-5)
    expected = nib.load(path).get_fdata().T.astype(np.float32)
    assert np.array_equal(np.stack(list(open_image(path).volumes())), expected)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_one_frame_in_memory(tmp_path: Path, ending: str) -> None:
    shape = (30, 4, 128, 128)
    path = raw_file(tmp_path / f"long{ending}", makers.make_image(3, shape))
    frame_bytes = 4 * 4 * 128 * 128
    tracemalloc.start()
    try:
        for _ in open_image(path).volumes():
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * frame_bytes  # the consumer's, the next one as stored and as float32; gzip's buffers


def test_opening_reads_no_voxel_and_the_last_frame_waits_for_the_checksum(tmp_path: Path) -> None:
    path = makers.save(tmp_path / "c.nii.gz", makers.make_image(1, CINE))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # the checksum
    path.write_bytes(content)
    volumes, got = open_image(path).volumes(), []
    with pytest.raises(DataError, match=r"c\.nii\.gz cannot be read: CRC check failed"):
        for volume in volumes:
            got.append(volume)
    assert len(got) == 4


def test_a_bad_frame_is_named(tmp_path: Path) -> None:
    array = makers.make_image(1, CINE).astype(np.float32)
    array[2, 0, 0, :3] = np.nan, np.inf, -np.inf
    volumes = open_image(makers.save(tmp_path / "c.nii.gz", array)).volumes()
    assert next(volumes).shape == next(volumes).shape == makers.SHAPE
    with pytest.raises(DataError, match=r"^Frame 3 of .*c\.nii\.gz holds 3 NaN or infinite voxels"):
        next(volumes)


def test_what_overflows_float32_is_refused(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "c.nii", np.full((2, 1, 2, 2), 1e300))
    with pytest.raises(DataError, match=r"^Frame 1 of .* holds 4 NaN or infinite"):
        next(open_image(path).volumes())


def refused(folder: Path) -> dict[str, tuple[Path, str]]:
    """name -> (file, what opening it must say)."""
    cine = makers.make_image(1, CINE)

    def claims(name: str, *dim: int, version: int = 1) -> Path:
        dims = [len(dim), *dim, *[1] * (7 - len(dim))]
        return raw_file(folder / f"{name}.nii.gz", cine, version=version, dim=dims)

    # nibabel takes a count that is none for a swapped one, and 2048 is 8 with its bytes swapped.
    many = raw_file(folder / "many.nii", makers.make_image(1), endian=">", dim=[2048, 20, 24, 3, 1, 1, 1, 1])
    return {
        "many": (many, "says that it has 2048 dimensions"),
        "frames": (claims("frames", 2, 2, 2, frames.MAX_FRAMES + 1), "claims 1001 frames; at most 1000"),
        "cine": (claims("cine", 2048, 2048, 4, 200), f"in 200 frames; at most {frames.MAX_CINE_VOXELS}"),
        "frame": (claims("frame", 32767, 32767, 3, 2), "header looks damaged"),
        "int64": (claims("int64", 2**40, 2**40, 2**40, 2, version=2), "header looks damaged"),
        "zero": (claims("zero", 20, 24, 3, 0), "empty or negative dimension"),
        "negative": (claims("negative", 20, 24, 3, -5), "empty or negative dimension"),
        "promises": (claims("promises", 400, 400, 30, 100), "truncated"),
        "metres": (raw_file(folder / "metres.nii", cine, xyzt_units=9), "metres"),
    }


def test_opening_refuses_in_one_line_that_names_the_file(tmp_path: Path) -> None:
    for name, (path, text) in refused(tmp_path).items():
        with pytest.raises(DataError) as caught:
            open_image(path)
        message = str(caught.value)
        assert text in message and path.name in message and "\n" not in message, f"{name}: {message}"


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_cine_cut_short(tmp_path: Path, ending: str) -> None:
    path = raw_file(tmp_path / f"c{ending}", makers.make_image(1, CINE))
    content = path.read_bytes()
    found = open_image(path)
    path.write_bytes(content[: len(content) * 3 // 5])
    with pytest.raises(DataError, match="Copy or download the file again"):
        list(found.volumes())
    if ending == ".nii":  # a packed file's size says too little about its content
        with pytest.raises(DataError, match=r"truncated: too small for shape \(20, 24, 3, 5\)"):
            open_image(path)
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        list(found.volumes())


def test_packed_voxels_that_end_early_are_counted(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "c.nii", makers.make_image(1, CINE))
    packed = tmp_path / "c.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()[:-100]))
    with pytest.raises(DataError, match="truncated, 100 bytes are missing"):
        list(open_image(packed).volumes())


def test_no_image_is_taken_for_a_freesurfer_surface(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "s.nii.gz", np.zeros((6, 1, 27307), np.uint8), dim=[3, 27307, 1, 6, 1, 1, 1, 1])
    assert open_image(path).shape == (6, 1, 27307)


@settings(max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_header_never_lets_another_exception_out(tmp_path_factory, edits) -> None:
    path = tmp_path_factory.mktemp("fuzz", numbered=True) / "f.nii"
    content = bytearray(raw_file(path, makers.make_image(1, CINE)).read_bytes())
    for position, value in edits:
        content[position] = value
    path.write_bytes(content)
    try:
        found = open_image(path)
        got = [volume for volume, _ in zip(found.volumes(), range(3), strict=False)]
    except DataError:
        return
    assert all(volume.shape == found.shape and np.isfinite(volume).all() for volume in got)
    assert np.prod(found.shape) <= nifti_file.MAX_VOXELS and 1 <= found.frames <= frames.MAX_FRAMES
