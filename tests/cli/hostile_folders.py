"""Hostile cines and folders for `predict`: one bad frame or study among good ones, muddled layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile_images import repacked
from hostile_kit import Maker, Place, Row, both, image, voxels, write_image


def _cine(damage: float) -> Maker:
    array = np.stack([voxels(seed=seed) for seed in range(3)]).astype(np.float32)
    array[1, 0, 0, 0] = damage
    return image(array)


def studies(**images: bytes | None) -> Maker:
    """A plain folder of good images, those with bytes damaged."""

    def make(place: Place) -> None:
        folder = place.root / "images"
        for seed, (name, content) in enumerate(images.items()):
            path = write_image(folder / f"{name}.nii.gz", voxels(seed=seed))
            if content is not None:
                path.write_bytes(content)
        place.source = folder

    return make


def _inside(do: Callable[[Path], object]) -> Maker:
    def make(place: Place) -> None:
        do(place.source)

    return make


def _acdc(damage: Callable[[Path], object]) -> Maker:
    """Two patients in ACDC's layout; `damage` gets the folder of the second."""

    def make(place: Place) -> None:
        place.source = place.root / "acdc"
        for number in (1, 2):
            folder = place.source / "training" / f"patient{number:03d}"
            for frame in (1, 9):
                write_image(folder / f"{folder.name}_frame{frame:02d}.nii.gz", voxels(seed=10 * number + frame))
            (folder / "Info.cfg").write_text("ED: 1\nES: 9\nGroup: NOR\n")
        damage(place.source / "training" / "patient002")

    return make


def _nnunet(*names: str) -> Maker:
    def make(place: Place) -> None:
        place.source = place.root / "raw"
        for seed, name in enumerate(names):
            write_image(place.source / "imagesTs" / name, voxels(seed=seed))

    return make


def _only(name: str, make: Callable[[Path], object]) -> Maker:
    """A folder that holds one good nnU-Net case and one strange thing."""
    return both(_nnunet("a_0000.nii.gz"), _inside(lambda folder: make(folder / "imagesTs" / name)))


_TABLE = ("summary.csv",)
_FIRST = ("patient001_ED.nii.gz", "patient001_ES.nii.gz", "patient001.json", *_TABLE)
_A, _B = ("a.nii.gz", "a.json", *_TABLE), ("b.nii.gz", "b.json", *_TABLE)
_HALF = (*_FIRST, "patient002_ED.nii.gz", "patient002.json")
_ONE_OF_TWO = "1 of 2 could not be segmented"
FOLDERS = [
    Row("a cine whose second frame is NaN", _cine(np.nan), 2, "Frame 2 of"),
    Row("a cine that ends in its last frame", both(_cine(0), repacked(lambda b: b[:-9])), 2, "9 bytes are missing"),
    Row("one bad image among two", studies(a=None, b=b"x"), 2, _ONE_OF_TWO, leaves=_A),
    Row("all images bad", studies(a=b"", b=b""), 2, "2 of 2 could not be segmented", leaves=_TABLE),
    Row(
        "a folder among images",
        both(studies(a=None), _inside(lambda f: (f / "b.nii").mkdir())),
        2,
        "1 of 2",
        leaves=_A,
    ),
    Row(
        "a FIFO among images", both(studies(a=None), _inside(lambda f: os.mkfifo(f / "b.nii"))), 2, "1 of 2", leaves=_A
    ),
    Row("an image whose name lies", both(studies(a=None), _inside(lambda f: _lie(f))), 2, "1 of 2", leaves=_A),
    Row(
        "ACDC with a broken Info.cfg", _acdc(lambda f: (f / "Info.cfg").write_text("ED: one")), 2, "1 of", leaves=_FIRST
    ),
    Row(
        "ACDC with Info.cfg in no UTF-8",
        _acdc(lambda f: (f / "Info.cfg").write_bytes(b"\xff")),
        2,
        "1 of",
        leaves=_FIRST,
    ),
    Row("ACDC with a folder as Info.cfg", _acdc(lambda f: _as_folder(f)), 2, "1 of", leaves=_FIRST),
    Row("ACDC with a frame missing", _acdc(lambda f: next(f.glob("*09.nii.gz")).unlink()), 2, "1 of 3", leaves=_HALF),
    Row("nnU-Net with a second channel", _nnunet("a_0000.nii.gz", "a_0001.nii.gz"), 2, "1 of 2", leaves=_A),
    Row("nnU-Net with a folder as image", _only("b_0000.nii.gz", Path.mkdir), 2, "1 of 2", leaves=_A),
    Row("nnU-Net with a FIFO as image", _only("b_0000.nii.gz", os.mkfifo), 2, "1 of 2", leaves=_A),
]


def _lie(folder: Path) -> None:
    os.link(folder / "a.nii.gz", folder / "b\udcff.nii.gz")


def _as_folder(patient: Path) -> None:
    (patient / "Info.cfg").unlink()
    (patient / "Info.cfg").mkdir()
