"""Hostile data folders for `data check` and `train`: what is done to a good one, and what must be said of it."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from heart_kit import SPACING, make_heart
from hostile_kit import voxels, write_image

_PLACE: dict[str, Any] = {"spacing": SPACING}
Break = Callable[[Path], object]
Rows = dict[str, tuple[Break, str]]
"""What is done to a path, and the words that must be said."""


def link(target: str) -> Break:
    """Put a link in the place of a path."""

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return put


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def holds(text: str | bytes) -> Break:
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


def sparse(size: int) -> Break:
    """A file that claims to be large and holds nothing."""
    return lambda path: os.truncate(path, size)


def small_and_huge(path: Path) -> None:
    """Half a megabyte that asks for 2^28 voxels, scaled."""
    header = nib.Nifti1Header()
    header.set_data_shape((8192, 8192, 4))
    header.set_data_dtype(np.int16)
    header["pixdim"][1:4], header["vox_offset"], header["scl_slope"], header["magic"] = 1, 352, 1.5, b"n+1"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + 2**20), 9))
    with path.open("ab") as stream:
        stream.write(bytes(2**19))


def _image(folder: Path) -> Path:
    return sorted((folder / "training" / "patient001").glob("*frame??.nii.gz"))[0]


def _mask(folder: Path) -> Path:
    return _image(folder).with_name(_image(folder).name.replace(".nii", "_gt.nii"))


def _info(folder: Path) -> Path:
    return folder / "training" / "patient001" / "Info.cfg"


def _of(where: Callable[[Path], Path], *steps: Break) -> Break:
    return lambda folder: [step(where(folder)) for step in steps]


def _info_is(text: str | bytes) -> Break:
    return _of(_info, holds(text))


def written(array: np.ndarray | None = None, **fields: Any) -> Break:
    """A good image in the place of another, but for some of its fields or voxels."""
    return lambda path: write_image(path, array, **fields)


def edited(change: Callable[[np.ndarray], np.ndarray], **fields: Any) -> Break:
    """The image or mask itself with other voxels."""
    return lambda path: write_image(path, change(np.asarray(nib.load(path).dataobj).T), **_PLACE | fields)  # pyright: ignore


def _out(folder: Path) -> None:
    """An image that is another's: a link out of the folder, to a good file."""
    far = folder.parent / "private.nii.gz"
    shutil.copyfile(_image(folder), far)
    link(str(far))(_image(folder))


_NAN = np.where(np.arange(64) == 30, np.float32(np.nan), voxels().astype(np.float32))
INFOS: Rows = {
    "a pipe as Info.cfg": (_of(_info, pipe), "Info.cfg is no regular file"),
    "Info.cfg without end": (_of(_info, link("/dev/zero")), "Info.cfg is a link"),
    "Info.cfg of another": (_of(_info, link("/etc/passwd")), "Info.cfg is a link"),
    "Info.cfg of a megabyte": (_of(_info, sparse(2**20)), "Info.cfg is no regular file"),
    "Info.cfg in no UTF-8": (_info_is(b"\xff\xfe"), "it is no UTF-8"),
    "Info.cfg that is a folder": (_of(_info, folder), "Info.cfg is no regular file"),
    "Info.cfg that is missing": (_of(_info, Path.unlink), "Info.cfg is missing"),
    "Info.cfg without a word": (_info_is(""), "gives nothing as ED frame"),
    "Info.cfg of zeros": (_info_is(bytes(300)), "gives nothing as ED frame"),
    "ED that is ES": (_info_is("ED: 1\nES: 1\n"), "both ED and ES"),
    "a negative frame": (_info_is("ED: -1\nES: 9\n"), "gives '-1' as ED frame"),
    "a frame of many digits": (_info_is(f"ED: {'1' * 500}\nES: 9\n"), "as ED frame"),
    "a frame that leads away": (_info_is("ED: ../../x\nES: 9\n"), "gives '../../x' as ED frame"),
    "a frame that steers the terminal": (_info_is("ED: \x1b[2J\x07\nES: 9\n"), "as ED frame"),
    "a frame in other digits": (_info_is("ED: \u0661\nES: 9\n"), "as ED frame"),
    "a frame that is not there": (_info_is("ED: 77\nES: 9\n"), "frame77.nii.gz is missing"),
}
IMAGES: Rows = {
    "an image of another": (_out, "leads out of"),
    "a huge image": (_of(_image, small_and_huge), "its header looks damaged"),
    "an image of zero bytes": (_of(_image, holds(b"")), "is empty (0 bytes)"),
    "an image of text": (_of(_image, holds("hello " * 200)), "not a single-file NIfTI"),
    "an image cut short": (_of(_image, lambda p: sparse(p.stat().st_size // 2)(p)), "cannot be read"),
    "a pipe as image": (_of(_image, pipe), "frame01.nii.gz is missing"),
    "a folder as image": (_of(_image, folder), "frame01.nii.gz is missing"),
    "a link to itself as image": (lambda f: link(_image(f).name)(_image(f)), "frame01.nii.gz is missing"),
    "an image of two dimensions": (_of(_image, written(dim=[2, 64, 64, 1, 1, 1, 1, 1])), "is 2D"),
    "an image of five dimensions": (_of(_image, written(dim=[5, 64, 64, 2, 1, 2, 1, 1])), "is 5D"),
    "an image of negative size": (_of(_image, written(dim=[3, 64, -64, 4, 1, 1, 1, 1])), "negative dimension"),
    "an image larger than its file": (_of(_image, written(dim=[3, 2048, 2048, 4, 1, 1, 1, 1])), "truncated"),
    "an image of no type": (_of(_image, written(datatype=9999)), "voxel type 9999"),
    "an image of colours": (_of(_image, written(datatype=128)), "voxel type 128"),
    "an image with NaN": (_of(_image, written(_NAN)), "NaN or infinite"),
    "an image of one value": (_of(_image, written(np.ones((4, 64, 64), np.int16))), "is constant"),
    "pixels of no size": (_of(_image, written(spacing=(8.0, 0.0, 2.0))), "not positive"),
    "pixels of NaN": (_of(_image, written(spacing=(8.0, float("nan"), 2.0))), "not positive"),
    "pixels of a kilometre, the mask's too": (
        lambda f: [edited(lambda a: a, spacing=(8.0, 1e6, 1e6))(path) for path in (_image(f), _mask(f))],
        "pixels of",
    ),
    "grey levels without end": (_of(_image, edited(lambda a: a * np.float32(1e30))), "grey levels up to"),
    "pixels of a kilometre": (_of(_image, written(spacing=(8.0, 1e6, 1e6))), "its image"),
    "pixels in metres": (_of(_image, written(xyzt_units=1)), "in metres"),
    "voxels inside the header": (_of(_image, written(vox_offset=4)), "inside the header"),
    "a scale without end": (_of(_image, written(scl_slope=3e38, scl_inter=3e38)), "infinite"),
    "an affine of NaN": (_of(_image, written(sform_code=1, srow_x=[np.nan] * 4)), "NaN"),
}
MASKS: Rows = {
    "a mask of another": (_of(_mask, link("/etc/passwd")), "leads out of"),
    "a huge mask": (_of(_mask, small_and_huge), "its header looks damaged"),
    "a mask that is missing": (_of(_mask, Path.unlink), "mask"),
    "a pipe as mask": (_of(_mask, pipe), "mask"),
    "a mask of other size": (_of(_mask, edited(lambda a: a[:, ::2])), "its image"),
    "a mask of other spacing": (
        _of(_mask, edited(lambda a: a, pixdim=[1, 9, 9, 9, 1, 1, 1, 1], spacing=SPACING)),
        "its image",
    ),
    "a mask of grey levels": (_of(_mask, edited(lambda a: (a * 77).astype(np.uint8))), "unknown labels"),
    "a mask below zero": (_of(_mask, edited(lambda a: a.astype(np.int16) - 1)), "labels"),
    "a mask of halves": (_of(_mask, edited(lambda a: (a * 0.5).astype(np.float32))), "0.5"),
    "a mask of NaN": (_of(_mask, edited(lambda a: np.full(a.shape, np.nan, np.float32))), "NaN"),
    "a mask of large numbers": (_of(_mask, edited(lambda a: (a * 1e9).astype(np.float32))), "is not a label map"),
}
FOLDERS: Rows = {
    "a folder of nothing": (lambda f: (shutil.rmtree(f), f.mkdir()), "in no known layout"),
    "a file as folder": (lambda f: (shutil.rmtree(f), f.write_text("x")), "is a file, not a folder"),
    "a folder that leads to itself": (lambda f: (shutil.rmtree(f), f.symlink_to(f)), "does not exist"),
    "patients without files": (
        lambda f: [p.unlink() for p in f.rglob("patient*") if p.is_file()],
        "is missing",
    ),
}


def good(folder: Path) -> Path:
    """Two patients in ACDC's layout; the ES frames are smaller."""
    for seed, patient in enumerate(("patient001", "patient002")):
        place = folder / "training" / patient
        for frame, scale in ((1, 1.0), (9, 0.8)):
            image, mask = make_heart(slices=6, seed=10 * seed + frame, scale=scale)
            write_image(place / f"{patient}_frame{frame:02d}.nii.gz", image, spacing=SPACING)
            write_image(place / f"{patient}_frame{frame:02d}_gt.nii.gz", mask, spacing=SPACING)
        (place / "Info.cfg").write_text("ED: 1\nES: 9\nGroup: NOR\n")
    return folder


ACDC: Rows = {**INFOS, **IMAGES, **MASKS, **FOLDERS}
