"""Hostile data folders in the layouts of nnU-Net and M&Ms: what is done to a good one, and what must be said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from heart_kit import SPACING, make_heart
from hostile_datasets import Break, Rows, folder, holds, link, pipe, small_and_huge, sparse, written
from hostile_kit import voxels, write_image


def labels(value: object) -> Break:
    return lambda path: path.write_text(json.dumps({"labels": value}))


DEEP, LONG = "[" * 200_000, '{"labels": {"RV": ' + "1" * 5000 + "}}"
TOLD: Rows = {
    "a pipe as dataset.json": (pipe, "no regular file"),
    "dataset.json without end": (link("/dev/zero"), "is a link"),
    "dataset.json of another": (link("/etc/passwd"), "is a link"),
    "dataset.json that is a folder": (folder, "no regular file"),
    "a deep dataset.json": (holds(DEEP), "not readable JSON"),
    "a large dataset.json": (lambda p: (p.touch(), sparse(2**27)(p)), "no regular file of at most"),
    "dataset.json of zero bytes": (holds(""), "not readable JSON"),
    "dataset.json in UTF-16": (holds("{}".encode("utf-16")), "not readable JSON"),
    "a long number": (holds(LONG), "not readable JSON"),
    "a number that is none": (holds('{"labels": {"RV": NaN}}'), "not readable JSON"),
    "labels twice": (holds('{"labels": {"RV": 1, "RV": 2}}'), "stands there twice"),
    "a list": (holds("[]"), "has no 'labels' table"),
    "labels that are a list": (labels(["RV", "MYO"]), "has no 'labels' table"),
    "labels of nothing": (labels({}), "names 'nothing' as structures"),
    "background alone": (labels({"background": 0}), "names 'nothing' as structures"),
    "a label below zero": (labels({"RV": -1}), "from 0 to 255"),
    "a label beyond a byte": (labels({"RV": 256}), "from 0 to 255"),
    "half a label": (labels({"RV": 1.5}), "from 0 to 255"),
    "a label that is true": (labels({"RV": True}), "from 0 to 255"),
    "a label of null": (labels({"RV": None}), "from 0 to 255"),
    "a region": (labels({"heart": [1, 2, 3]}), "from 0 to 255"),
    "a label for two": (labels({"RV": 1, "MYO": 1}), "one label of its own"),
    "a structure twice": (labels({"LV": 1, "LVBP": 2}), "one label of its own"),
    "a name that steers the terminal": (labels({"\x1b]0;x\x07": 1}), "as structures"),
    "a name without end": (labels({"a" * 10**6: 1}), "as structures"),
    "a name that leads away": (labels({"../../etc": 1}), "as structures"),
}


def _raw(name: str, make: Break) -> Break:
    """Something in a raw folder, instead of a file that may lie there."""
    return lambda told: make(told.parent / name)


def _of_format(ending: str, text: str) -> Break:
    """The one image, in another format."""

    def replace(told: Path) -> None:
        path = told.parent / "imagesTr" / "a_0000.nii.gz"
        path.unlink()
        path.with_name("a_0000" + ending).write_text(text)

    return replace


RAW: Rows = {
    "a further channel": (_raw("imagesTr/a_0001.nii.gz", written()), "does not lie on the grid"),
    "an image without channel": (_raw("imagesTr/b.nii.gz", written()), "lacks a channel number"),
    "an image without mask": (_raw("imagesTr/b_0000.nii.gz", written()), "mask"),
    "an ending in capitals": (_raw("imagesTr/b_0000.NII.GZ", written()), "in lower case"),
    "no masks at all": (_raw("labelsTr", shutil.rmtree), " no "),
    "masks that are a file": (_raw("labelsTr", lambda p: (shutil.rmtree(p), p.write_text("x"))), " no "),
    "no images": (_raw("imagesTr/a_0000.nii.gz", Path.unlink), "data"),
    "a pipe as image": (_raw("imagesTr/a_0000.nii.gz", pipe), "it is no regular file"),
    "voxels of another, .mha": (
        _of_format(".mha", "NDims = 3\nElementDataFile = /etc/passwd\n"),
        "no voxels of its own",
    ),
    "voxels of another, .nrrd": (
        _of_format(
            ".nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/passwd\n\n"
        ),
        "no voxels of its own",
    ),
}


def good_raw(folder: Path) -> Path:
    """One case in nnU-Net's layout; the path of its dataset.json, which is not there yet."""
    image, mask = make_heart(slices=6)
    write_image(folder / "imagesTr" / "a_0000.nii.gz", image, spacing=SPACING)
    write_image(folder / "labelsTr" / "a.nii.gz", mask, spacing=SPACING)
    return folder / "dataset.json"


NNUNET: Rows = {**TOLD, **RAW}


def table(text: str | bytes) -> Break:
    return lambda data: (data / "table.csv").write_bytes(text if isinstance(text, bytes) else text.encode())


_HEAD = "External code,ED,ES,Pathology\n"


def good_cine(folder: Path) -> Path:
    """One patient in M&Ms' layout."""
    cine = np.stack([voxels(seed=seed) for seed in range(2)])
    write_image(folder / "A" / "A_sa.nii.gz", cine)
    write_image(folder / "A" / "A_sa_gt.nii.gz", np.digitize(cine, (150, 200, 230)).astype(np.uint8))
    (folder / "table.csv").write_text(_HEAD + "A,0,1,NOR\n")
    return folder


MNMS: Rows = {
    "no table": (lambda f: (f / "table.csv").unlink(), "No table (.csv)"),
    "a table of other columns": (table("a,b\n1,2\n"), "No table (.csv)"),
    "a table of zeros": (table(bytes(500)), "No table (.csv)"),
    "a table in no UTF-8": (table(b"\xff\xfe"), "no UTF-8"),
    "a pipe as table": (lambda f: pipe(f / "table.csv"), "no regular file"),
    "a table of another": (lambda f: link("/etc/passwd")(f / "table.csv"), "is a link"),
    "a table of megabytes": (lambda f: sparse(2**23)(f / "table.csv"), "no regular file"),
    "a cell without end": (table(_HEAD + "A," + "1" * 200_000 + ",1,NOR\n"), "field larger than"),
    "a patient who is not told": (table(_HEAD + "B,0,1,NOR\n"), "is not in the table"),
    "a frame in words": (table(_HEAD + "A,first,1,NOR\n"), "as ED frame"),
    "a frame beyond the cine": (table(_HEAD + "A,0,99,NOR\n"), "frame 100 was asked for"),
    "a frame below zero": (table(_HEAD + "A,-1,1,NOR\n"), "as ED frame"),
    "a formula as frame": (table(_HEAD + "A,=1+1,1,NOR\n"), "as ED frame"),
    "rows that are cut": (table(_HEAD + "A\n"), "as ED frame"),
    "a cine of one frame": (lambda f: write_image(f / "A" / "A_sa.nii.gz"), "frame 2 was asked for"),
    "a mask of one frame": (lambda f: write_image(f / "A" / "A_sa_gt.nii.gz"), "is not a label map"),
    "a cine of half a megabyte that is huge": (lambda f: small_and_huge(f / "A" / "A_sa.nii.gz"), "damaged"),
}
