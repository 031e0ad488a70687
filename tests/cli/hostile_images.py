"""Hostile images and folders for `predict`: damaged files, lying headers, scans of another kind."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile_kit import Maker, Place, Row, both, image, image_bytes, options, voxels


def _named(name: str | bytes) -> Maker:
    def rename(place: Place) -> None:
        new = place.root / os.fsdecode(name)
        place.source = place.source.rename(new) if len(name) < 250 else new

    return rename


def repacked(change: Callable[[bytes], bytes]) -> Maker:
    return image_bytes(lambda b: gzip.compress(change(gzip.decompress(b)), mtime=0))


def _instead(make: Callable[[Path], object]) -> Maker:
    def put(place: Place) -> None:
        place.source.unlink()
        make(place.source)

    return put


FILES = [
    Row("image missing", lambda p: p.source.unlink(), 2, "does not exist"),
    Row("image of zero bytes", image_bytes(lambda _: b""), 2, "is empty (0 bytes)"),
    Row("image cut in the packed voxels", image_bytes(lambda b: b[: len(b) // 2]), 2, "cannot be read"),
    Row("a text named .nii.gz", image_bytes(lambda _: b"hello " * 200), 2, "not a single-file NIfTI"),
    Row("a model as image", lambda p: setattr(p, "source", p.model), 2, "no image by its name"),
    Row("a folder named .nii.gz", _instead(Path.mkdir), 2, "holds no images in a known layout: it holds nothing"),
    Row("FIFO as image", _instead(os.mkfifo), 2, "is neither a file nor a folder"),
    Row("an endless device as image", _instead(lambda p: p.symlink_to("/dev/zero")), 2, "neither a file nor a folder"),
    Row("a symlink loop as image", _instead(lambda p: p.symlink_to(p)), 2, "does not exist"),
    Row("an image name that is no UTF-8", _named(b"heart\xff.nii.gz"), 2, "heart\\udcff.nii.gz"),
    Row("an image name of two lines", _named("a\nb\x1b[2J.nii.gz"), 2, "a\\nb\\x1b[2J.nii.gz"),
]


_NAN = np.where(np.arange(64) == 30, np.float32(np.nan), voxels().astype(np.float32))
HEADERS = [
    Row("a negative dimension", image(dim=[3, 64, -64, 3, 1, 1, 1, 1]), 2, "empty or negative dimension"),
    Row("NaN", image(_NAN), 2, "256 NaN or infinite voxels"),
    Row("far spacing", image(spacing=(8.0, 12.0, 12.0)), 2, "or pass --force"),
    Row("pixels of a metre, forced", both(image(spacing=(8.0, 1e6, 1e6)), options("--force")), 2, "would need"),
    Row("a tiny image", image(voxels((4, 8, 8))), 2, "at least 32 pixels"),
    Row("one slice", image(voxels((1, 64, 64))), 2, "it has 1 slice, 8 mm tall, like a long-axis or single-slice cine"),
    Row("a cine of one slice", image(voxels((5, 1, 64, 64))), 2, "join"),
    Row("time as slices", image(voxels((20, 64, 64))), 2, "all its 20 slices look alike, like time in the place of"),
    Row("time as slices, tall", image(voxels((30, 64, 64))), 2, "240 mm tall, like time in the place of slices"),
    Row(
        "two voxel sizes",
        image(sform_code=1, srow_x=[-2, 0, 0, 0], srow_y=[0, -2, 0, 0], srow_z=[0, 0, 5, 0]),
        2,
        "pixdim says voxels of 2 x 2 x 8 mm, sform 2 x 2 x 5 mm",
    ),
    Row("constant in the window, forced", lambda p: _flat_centre(p), 2, "constant inside the window"),
]


def _flat_centre(place: Place) -> None:
    array = voxels((4, 200, 200))
    array[:, 2:-2, 2:-2] = 5
    image(array)(place)
    place.options.append("--force")


IMAGES = [*FILES, *HEADERS]
