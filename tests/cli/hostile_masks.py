"""Hostile data folders for `data check`: masks that lie, ED that is ES, a folder of which nothing is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from heart_kit import SPACING, make_heart
from hostile_kit import Maker, Place, Row, write_image

Edit = Callable[[np.ndarray], np.ndarray]


def _as_it_is(array: np.ndarray) -> np.ndarray:
    return array


def masked(edit: Edit = _as_it_is, ending: str = ".nii.gz") -> Maker:
    """One nnU-Net case whose mask was changed by `edit`."""

    def make(place: Place) -> None:
        place.source = place.root / "raw"
        image, mask = make_heart()
        for folder, name, array in (("imagesTr", "anna_0000", image), ("labelsTr", "anna", edit(mask))):
            path = write_image(place.source / folder / f"{name}.nii.gz", array, spacing=SPACING)
            path.rename(path.with_name(name + ending))

    return make


def patient(image: Edit = _as_it_is, mask: Edit = _as_it_is) -> Maker:
    """One ACDC patient whose ES frame's image and mask are made from those of ED."""

    def make(place: Place) -> None:
        place.source = place.root / "acdc"
        folder = place.source / "patient007"
        ed, es = make_heart(), [edit(array) for edit, array in zip((image, mask), make_heart(), strict=True)]
        for frame, (grey, labels) in ((1, ed), (9, es)):
            write_image(folder / f"patient007_frame{frame:02d}.nii.gz", grey, spacing=SPACING)
            write_image(folder / f"patient007_frame{frame:02d}_gt.nii.gz", labels, spacing=SPACING)
        (folder / "Info.cfg").write_text("ED: 1\nES: 9\nGroup: NOR\n")

    return make


def _row(name: str, make: Maker, says: str) -> Row:
    return Row(name, make, 2, says, ("check",))


_SWAP = np.array([0, 3, 2, 1], np.uint8)
MASKS = [
    _row("ventricles swapped", masked(lambda mask: _SWAP[mask]), "anna.nii.gz is not the mask of its image: LV and RV"),
    _row("a mask mirrored along x", masked(lambda mask: mask[:, :, ::-1]), "fits better mirrored along x"),
    _row("a mask mirrored along y", masked(lambda mask: mask[:, ::-1]), "fits better mirrored along y"),
    _row("a mask upside down", masked(lambda mask: mask[::-1]), "fits better with its slices reversed"),
    _row("a mask shifted", masked(lambda mask: np.roll(mask, 20, 2)), "fits better shifted by 30 mm"),
    _row("a mask between labels", masked(lambda mask: (mask * 0.998).astype(np.float32)), "it holds 0.998"),
    _row("ED that is ES", patient(), "patient007_frame09.nii.gz is the same image as patient007_frame01"),
    _row("a mask for ED and ES", patient(image=lambda image: image + 1), "has the same mask as patient007_frame01"),
    _row("images of another format", masked(ending=".mha"), "anna_0000.mha holds no voxels of its own"),
]
