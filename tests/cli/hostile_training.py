"""Hostile data folders, configurations and checkpoints for the training side: what each is, and what must be said."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from safetensors.torch import save_file

Break = Callable[[Path], object]
"""What is done to a data folder in ACDC's layout, or in nnU-Net's."""


def link(target: str) -> Callable[[Path], None]:
    """Put a link in the place of a path."""

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return put


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


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
    return sorted((folder / "training" / "patient001").glob("*_gt.nii.gz"))[0]


def _info(folder: Path) -> Path:
    return folder / "training" / "patient001" / "Info.cfg"


def _out(folder: Path) -> None:
    """An image that is another's: a link out of the folder, to a good file."""
    far = folder.parent / "private.nii.gz"
    shutil.copyfile(_image(folder), far)
    link(str(far))(_image(folder))


ACDC: dict[str, tuple[Break, str]] = {
    "a pipe as Info.cfg": (lambda f: pipe(_info(f)), "Info.cfg is no regular file"),
    "Info.cfg without end": (lambda f: link("/dev/zero")(_info(f)), "Info.cfg is a link"),
    "Info.cfg of another": (lambda f: link("/etc/passwd")(_info(f)), "Info.cfg is a link"),
    "Info.cfg of a gigabyte": (lambda f: os.truncate(_info(f), 2**30), "Info.cfg is no regular file"),
    "Info.cfg in no UTF-8": (lambda f: _info(f).write_bytes(b"\xff\xfe"), "it is no UTF-8"),
    "an image of another": (_out, "leads out of"),
    "a mask of another": (lambda f: link("/etc/passwd")(_mask(f)), "leads out of"),
    "a huge image": (lambda f: small_and_huge(_image(f)), "its header looks damaged"),
    "a huge mask": (lambda f: small_and_huge(_mask(f)), "its header looks damaged"),
}

DEEP, LONG = "[" * 200_000, '{"labels": {"RV": ' + "1" * 5000 + "}}"
NNUNET: dict[str, tuple[Break, str]] = {
    "a pipe as dataset.json": (pipe, "no regular file"),
    "dataset.json without end": (link("/dev/zero"), "is a link"),
    "dataset.json of another": (link("/etc/passwd"), "is a link"),
    "a deep dataset.json": (lambda p: p.write_text(DEEP), "not readable JSON"),
    "a long number": (lambda p: p.write_text(LONG), "not readable JSON"),
    "labels twice": (lambda p: p.write_text('{"labels": {"RV": 1, "RV": 2}}'), "stands there twice"),
}

YAML: dict[str, tuple[str, str]] = {
    "aliases": ("default: &a 0.5\nblock_ratios: {encoders.0: *a}\n", "aliases"),
    "a key twice": ("default: 0.5\ndefault: 0.25\n", "twice"),
    "deep": ("[" * 2000, "cannot be read as YAML"),
    "an impossible date": ("default: 2024-13-45\n", "cannot be read as YAML"),
    "a long number": ("default: " + "1" * 5000 + "\n", "cannot be read as YAML"),
    "no UTF-8": ("default: \udcff\n", "YAML"),
}


def _described(description: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        save_file({"head.bias": torch.zeros(1)}, path, metadata={"cardiocompress": description})

    return write


def _wide(path: Path) -> None:
    widths = {f"encoders.{level}": [9000, 9000] for level in range(2)} | {"bottleneck": [9000, 9000]}
    widths |= {f"decoders.{step}": [9000] if step % 2 == 0 else [9000, 9000] for step in range(4)}
    arguments = {"in_channels": 1, "out_channels": 4, "widths": widths}
    text = {"schema": 1, "architecture": "unet", "arguments": arguments, "labels": {}, "preprocessing": {}}
    _described(json.dumps(text))(path)


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "No checkpoint at"),
    "zero bytes": (Path.touch, "not a readable safetensors checkpoint"),
    "huge by its header alone": (_wide, "other shapes"),
    "a deep description": (_described("[" * 100_000), "damaged description"),
    "a long number": (_described('{"schema": ' + "1" * 5000 + "}"), "damaged description"),
    "a description twice": (_described('{"schema": 1, "schema": 1}'), "damaged description"),
    "labels of text": (
        _described('{"schema": 1, "architecture": "unet", "arguments": {}, "labels": "RV", "preprocessing": {}}'),
        "damaged description",
    ),
}
