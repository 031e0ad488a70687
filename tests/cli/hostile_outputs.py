"""Hostile command lines and output places: words that are wrong, folders that cannot be written, earlier results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hostile_folders import studies
from hostile_kit import Maker, Place, Row, both, mounted, options, voxels, write_image

from compress.errors import ProviderError
from compress.inference.predict import PredictRequest, predict
from compress.runtime.proof import prove

ALL = ("predict", "info", "verify")
RUN = ("predict", "verify")


def _without_gpu(place: Place) -> None:
    try:
        prove("cuda")
    except ProviderError:
        place.options += ["--provider", "cuda"]
        return
    pytest.skip("this machine has a working GPU")


def _without(package: str) -> Maker:
    """As if `package` were not installed, and nothing that needs it imported yet."""

    def make(place: Place) -> None:
        gone = {
            name for name in sys.modules if name.startswith(("compress.report.", "compress.inference.study_overlay"))
        }
        place.undo.enter_context(patch.dict(sys.modules, {package: None}))
        for name in gone:
            del sys.modules[name]

    return make


def _no_output(place: Place) -> None:
    place.undo.enter_context(patch.object(place, "arguments", lambda command: [command, place.model, place.source]))


COMMAND_LINES = [
    Row(
        "an unknown provider",
        options("--provider", "gpu"),
        2,
        "Known: cpu, cuda, openvino.",
        RUN,
    ),
    Row("CUDA without a GPU", _without_gpu, 3, "choose the provider 'cpu'", RUN),
    Row("no threads", options("--threads", "0"), 2, "'--threads'", RUN),
    Row("threads that are no number", options("--threads", "many"), 2, "'--threads'", RUN),
    Row("slices by none", options("--batch-size", "0"), 2, "'--batch-size'"),
    Row("an argument too many", options("more.onnx"), 2, "more.onnx", ALL),
    Row("an option that is none", options("--no-such-option"), 2, "Try 'cardiocompress ", ALL),
    Row("no output named", _no_output, 2, "--out"),
    Row("--resume and --restart", options("--resume", "--restart"), 2, "exclude each other"),
    Row("pictures without matplotlib", both(_without("matplotlib"), options("--overlays")), 3, "[overlays]"),
]


def _out(where: str) -> Maker:
    """Name another output; {root} is the row's folder."""

    def name(place: Place) -> None:
        place.out = Path(where.format(root=place.root))

    return name


def _file_in_the_way(place: Place) -> None:
    place.out.write_text("precious")


def _folder_as_out(name: str) -> Maker:
    """Results into the images' own folder, among which one mask would have its image's name."""

    def make(place: Place) -> None:
        write_image(place.root / "images" / name, voxels())
        place.source = place.out = place.root / "images"

    return make


def _mask_of_another(place: Place) -> None:
    """The mask of a_0000_0000 would be called as the image a_0000."""
    for seed, name in enumerate(("a_0000.nii.gz", "a_0000_0000.nii.gz")):
        write_image(place.root / "imagesTs" / name, voxels(seed=seed))
    place.source = place.out = place.root / "imagesTs"
    place.options.append("--restart")


def _loop(place: Place) -> None:
    place.out.symlink_to(place.out)


def _read_only(place: Place) -> None:
    mounted(place, place.root / "disk", "64k")
    subprocess.run(["mount", "-o", "remount,ro", str(place.root / "disk")], check=True)
    place.out = place.root / "disk" / "out"


def _no_permission(place: Place) -> None:
    place.out.mkdir(mode=0o500)
    _skip_if_allowed(place.out, os.W_OK)


def _skip_if_allowed(path: Path, what: int) -> None:
    if os.access(path, what):
        pytest.skip("this user, such as root, may read and write whatever a mode says")


def _unreadable(what: Callable[[Place], Path]) -> Maker:
    def make(place: Place) -> None:
        path = what(place)
        path.chmod(0)
        _skip_if_allowed(path, os.R_OK)

    return make


def _full(size: str, mask: str) -> Maker:
    """A disk of `size`; an unpacked mask of 3 x 64 x 64 labels needs 16k."""

    def make(place: Place) -> None:
        mounted(place, place.root / "disk", size)
        place.out = place.root / "disk" / mask

    return make


PLACES = [
    Row("a file where the folder should be", _file_in_the_way, 2, "is a file, not a folder"),
    Row("a folder inside a file", _out("{root}/model.onnx/deep/out"), 2, "is a file, not a folder"),
    Row("a device as folder", _out("/dev/null"), 2, "is a file, not a folder"),
    Row("the image's own folder", _folder_as_out("heart.nii.gz"), 2, "would overwrite its image"),
    Row("a mask that would overwrite another image", _mask_of_another, 2, "would overwrite"),
    Row("an output name too long", _out("{root}/" + "o" * 300), 2, "File name too long"),
    Row("an output that is a symlink loop", _loop, 2, "Cannot write"),
    Row("a read-only disk", _read_only, 3, "Read-only file system"),
    Row("a folder without permission", _no_permission, 3, "Check the folder's permissions"),
    Row("a model without permission", _unreadable(lambda p: p.model), 2, "is not readable", ALL),
    Row("an image without permission", _unreadable(lambda p: p.source), 2, "is not readable"),
    Row("a disk full at the mask", _full("8k", "m.nii"), 3, "No space left on device"),
    Row("a disk full at the report", _full("16k", "m.nii"), 3, "No space left on device"),
    Row("a disk full at the first of two", both(studies(a=None, b=None), _full("4k", "out")), 3, "No space left"),
]


def _earlier(*, change: Callable[[dict], object] = lambda document: None, words: tuple[str, ...] = ()) -> Maker:
    """A finished prediction, its report changed, and another one asked for with these words."""

    def make(place: Place) -> None:
        predict(PredictRequest(place.model, place.source, place.out, threads=1))
        path = place.out / "heart.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        place.options += words

    return make


def _told(key: str, value: object) -> Callable[[dict], object]:
    return lambda document: document["trace"].__setitem__(key, value)


EARLIER = [
    Row("results without a word", _earlier(), 2, "--resume to keep what is finished, --restart to replace it"),
    Row("results of another version", _earlier(change=_told("versions", {}), words=("--resume",)), 2, "versions"),
    Row("a mask alone", lambda p: write_image(p.out / "heart.nii.gz") and None, 2, "was not written by predict"),
]

OUTPUTS = [*COMMAND_LINES, *PLACES, *EARLIER]
