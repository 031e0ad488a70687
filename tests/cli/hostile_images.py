"""Hostile images and folders for `predict`: damaged files, lying headers, scans of another kind."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile_kit import Maker, Place, Row, both, image, image_bytes, options, voxels
from nibabel.nifti1 import Nifti1Header


def _named(name: str | bytes) -> Maker:
    def rename(place: Place) -> None:
        new = place.root / os.fsdecode(name)
        place.source = place.source.rename(new) if len(name) < 250 else new

    return rename


def _plain(cut: int) -> Maker:
    """An unpacked image, cut off; its name still ends in .gz, as when it was unpacked in place."""
    return image_bytes(lambda b: gzip.decompress(b)[:cut])


def repacked(change: Callable[[bytes], bytes]) -> Maker:
    return image_bytes(lambda b: gzip.compress(change(gzip.decompress(b)), mtime=0))


def _instead(make: Callable[[Path], object]) -> Maker:
    def put(place: Place) -> None:
        place.source.unlink()
        make(place.source)

    return put


def _broken_checksum(content: bytes) -> bytes:
    return content[:-8] + (zlib.crc32(content) ^ 1).to_bytes(4, "little") + content[-4:]


_PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)
_DICOM = bytes(128) + b"DICM" + bytes(600)
FILES = [
    Row("image missing", lambda p: p.source.unlink(), 2, "does not exist"),
    Row("image of zero bytes", image_bytes(lambda _: b""), 2, "is empty (0 bytes)"),
    Row("image cut in the packed header", image_bytes(lambda b: b[:40]), 2, "cannot be read"),
    Row("image cut in the packed voxels", image_bytes(lambda b: b[: len(b) // 2]), 2, "cannot be read"),
    Row("image without its checksum", image_bytes(lambda b: b[:-8]), 2, "cannot be read"),
    Row("image with a wrong checksum", image_bytes(_broken_checksum), 2, "CRC check failed"),
    Row("image with a flipped packed byte", image_bytes(lambda b: b[:900] + b"\xff\0" + b[902:]), 2, "cannot be read"),
    Row("image cut in its header", _plain(200), 2, "not a single-file NIfTI"),
    Row("image cut after its header", _plain(348), 2, "is truncated"),
    Row("image cut in its voxels", _plain(9000), 2, "is truncated"),
    Row("image without its last voxel", _plain(352 + 3 * 64 * 64 * 2 - 1), 2, "is truncated"),
    Row("packed image without its last voxel", repacked(lambda b: b[:-2]), 2, "is truncated, 2 bytes are missing"),
    Row("a text named .nii.gz", image_bytes(lambda _: b"hello " * 200), 2, "not a single-file NIfTI"),
    Row("a packed text", image_bytes(lambda _: gzip.compress(b"hello " * 200)), 2, "not a single-file NIfTI"),
    Row("a PNG named .nii.gz", image_bytes(lambda _: _PNG), 2, "not a single-file NIfTI"),
    Row("a DICOM named .nii.gz", image_bytes(lambda _: _DICOM), 2, "not a single-file NIfTI"),
    Row("a DICOM by its name", _named("scan.dcm"), 2, "dcm2niix"),
    Row("a header and image pair", _named("scan.img"), 2, "no NIfTI file by its name"),
    Row("a model as image", lambda p: setattr(p, "source", p.model), 2, "no NIfTI file by its name"),
    Row("a folder named .nii.gz", _instead(Path.mkdir), 2, "holds no images in a known layout: it holds nothing"),
    Row("FIFO as image", _instead(os.mkfifo), 2, "is neither a file nor a folder"),
    Row("an endless device as image", _instead(lambda p: p.symlink_to("/dev/zero")), 2, "neither a file nor a folder"),
    Row("a symlink loop as image", _instead(lambda p: p.symlink_to(p)), 2, "does not exist"),
    Row("an image name too long", _named("i" * 300 + ".nii.gz"), 2, "File name too long"),
    Row("an image name that is no UTF-8", _named(b"heart\xff.nii.gz"), 2, "heart\\udcff.nii.gz"),
    Row("an image name of two lines", _named("a\nb\x1b[2J.nii.gz"), 2, "a\\nb\\x1b[2J.nii.gz"),
]


def _dim(*sizes: int) -> Maker:
    return image(dim=[*sizes, *[1] * (8 - len(sizes))])


def _pixdim(*sizes: float) -> Maker:
    return image(pixdim=[1, *sizes, *[1.0] * (7 - len(sizes))])


def _with(value: float) -> Maker:
    array = voxels().astype(np.float32)
    array[1, 20, 30] = value
    return image(array)


_POSITIVE = "voxel size that is not positive"
HEADERS = [
    Row("30000 voxels a side", _dim(3, 30000, 30000, 30000), 2, "its header looks damaged"),
    Row("more voxels than the file holds", _dim(3, 600, 600, 600), 2, "is truncated"),
    Row("a negative dimension", _dim(3, 64, -64, 3), 2, "empty or negative dimension"),
    Row("a dimension of 0", _dim(3, 64, 64, 0), 2, "empty or negative dimension"),
    Row("eight dimensions", _dim(8, 64, 64, 3), 2, "expected 3D"),
    Row("2048 dimensions of which three count", lambda p: _many_dimensions(p), 2, "says that it has 2048 dimensions"),
    Row("no dimension", _dim(0, 64, 64, 3), 2, "empty or negative dimension"),
    Row("minus one dimensions", _dim(-1, 64, 64, 3), 2, "empty or negative dimension"),
    Row("2D", _dim(2, 64, 64), 2, "is 2D"),
    Row("5D", _dim(5, 64, 64, 1, 1, 3), 2, "is 5D"),
    Row("a cine of 0 frames", _dim(4, 64, 64, 3, 0), 2, "empty or negative dimension"),
    Row("a cine of 30000 frames", _dim(4, 8, 8, 1, 30000), 2, "at most 1000 are read"),
    Row("a cine of 2**31 voxels", _dim(4, 2000, 2000, 60, 900), 2, "Split the cine"),
    Row("NaN", _with(np.nan), 2, "1 NaN or infinite voxels"),
    Row("infinity", _with(-np.inf), 2, "1 NaN or infinite voxels"),
    Row("grey levels of 1e38", image(voxels().astype(np.float32) * np.float32(1e36)), 2, "grey levels"),
    Row("float64 beyond float32", image(voxels() * 1e300), 2, "infinite voxels"),
    Row("constant", image(np.full((3, 64, 64), 7, np.int16)), 2, "is constant: every voxel is 7"),
    Row("complex", image(voxels().astype(np.complex64)), 2, "voxel type 32"),
    Row("colour", image(datatype=128, bitpix=24), 2, "voxel type 128"),
    Row("a voxel type that is none", image(datatype=77), 2, "voxel type 77"),
    Row("voxels of 0 mm", _pixdim(0, 2, 8), 2, _POSITIVE),
    Row("voxels of -2 mm", _pixdim(2, -2, 8), 2, _POSITIVE),
    Row("voxels of NaN mm", _pixdim(2, 2, np.nan), 2, _POSITIVE),
    Row("voxels of infinite mm", _pixdim(np.inf, 2, 8), 2, _POSITIVE),
    Row("metres", image(xyzt_units=1), 2, "in metres; expected millimetres"),
    Row("voxels that start in the header", image(vox_offset=10), 2, "inside the header"),
    Row("voxels that start nowhere", image(vox_offset=np.nan), 2, "cannot be read"),
    Row("voxels that start at infinity", image(vox_offset=np.inf), 2, "cannot be read"),
    Row("voxels that start behind the file", image(vox_offset=1e9), 2, "is truncated"),
    Row("voxels that start before the file", image(vox_offset=-1e9), 2, "inside the header"),
    Row("shifted by NaN", image(scl_slope=1, scl_inter=np.nan), 2, "cannot be read"),
    Row("a turn that is none", image(qform_code=1, quatern_b=3.0), 2, "damaged orientation"),
    Row("an affine of NaN", image(sform_code=1, srow_x=[np.nan] * 4), 2, "affine with NaN"),
    Row("far spacing", image(spacing=(8.0, 12.0, 12.0)), 2, "or pass --force"),
    Row("slices 30 mm apart", image(spacing=(30.0, 2.0, 2.0)), 2, "30 mm apart, expected about 5 to 10"),
    Row("pixels of a metre, forced", both(image(spacing=(8.0, 1e6, 1e6)), options("--force")), 2, "would need"),
    Row("axes swapped", image(voxels((64, 64, 3)), spacing=(2.0, 2.0, 8.0)), 2, "the slice axis looks like X"),
    Row("a label map as image", image((voxels() > 150).astype(np.uint8)), 2, "like a label map"),
    Row("a tiny image", image(voxels((3, 8, 8))), 2, "at least 32 pixels"),
    Row("one slice too many", image(voxels((80, 32, 32)), spacing=(8, 4, 4)), 2, "at most 60"),
    Row("constant in the window, forced", lambda p: _flat_centre(p), 2, "constant inside the window"),
]


def _many_dimensions(place: Place) -> None:
    """Big-endian: nibabel takes a count that is none for a swapped one, and 2048 is 8 with its bytes swapped."""
    array = voxels().astype(">i2")
    header = Nifti1Header(endianness=">")
    header.set_data_dtype(array.dtype)
    header["dim"], header["pixdim"] = [2048, 64, 64, 3, 1, 1, 1, 1], [1, 2, 2, 8, 1, 1, 1, 1]
    header["vox_offset"] = 352
    place.source.write_bytes(header.binaryblock + bytes(4) + array.tobytes())


def _flat_centre(place: Place) -> None:
    array = voxels((3, 200, 200))
    array[:, 2:-2, 2:-2] = 5
    image(array)(place)
    place.options.append("--force")


IMAGES = [*FILES, *HEADERS]
