"""Hostile inputs to `ship`: verdicts, evidence, baselines, keys and places."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hostile_kit import Maker, Place, Row, both, metadata, model_bytes, mounted, options
from shipping_kit import make_verdict, write_gate

from compress.evaluate.verdict import Verdict
from compress.files import write_json
from compress.runtime.golden import GOLDEN_KEY

SHIP = ("ship",)


def _verdict(place: Place) -> Verdict:
    return make_verdict(place.model, place.model)


def _gated(change: Callable[[Verdict], Verdict] = lambda verdict: verdict) -> Maker:
    """A gate's folder with a verdict on the model, changed, and its name on the command line."""

    def make(place: Place) -> None:
        path = write_gate(place.root / "gate", change(_verdict(place)))
        place.options += ["--verdict", str(path)]

    return make


def _after_gate(name: str, change: Callable[[Path], object]) -> Maker:
    """The same, with one of the gate's files replaced afterwards."""

    def make(place: Place) -> None:
        _gated()(place)
        path = place.root / "gate" / name
        path.unlink()
        change(path)

    return make


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def loop(path: Path) -> None:
    path.symlink_to(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**26 + 1)


GATE = [
    Row("no verdict", lambda p: None, 4, "no verdict of an acceptance gate", SHIP),
    Row("a verdict that is missing", options("--verdict", "/no/verdict.json"), 2, "No such file", SHIP),
    Row("a folder as verdict", options("--verdict", "/tmp"), 2, "is no regular file", SHIP),
    Row("a verdict of zero bytes", _after_gate("verdict.json", Path.touch), 2, "is not readable JSON", SHIP),
    Row("a verdict without end", _after_gate("verdict.json", text("[" * 10**6)), 2, "not readable JSON", SHIP),
    Row("a pipe as verdict", _after_gate("verdict.json", os.mkfifo), 2, "is no regular file", SHIP),
    Row("a verdict that is a loop", _after_gate("verdict.json", loop), 2, "Cannot read", SHIP),
    Row("scores that are none", _after_gate("candidate.json", text("{}")), 2, "Not an evaluation report", SHIP),
]


def _evidence(name: str, make: Callable[[Path], object]) -> Maker:
    def add(place: Place) -> None:
        _gated()(place)
        make(place.root / name)
        place.options += ["--evidence", str(place.root / name)]

    return add


def _twice(place: Place) -> None:
    for folder in ("a", "b"):
        (place.root / folder).mkdir()
        _evidence(f"{folder}/note.md", text(folder))(place)


def _beside(name: str, document: object) -> Maker:
    def make(place: Place) -> None:
        _gated()(place)
        write_json(place.root / name, document)

    return make


EVIDENCE = [
    Row("evidence that is missing", _evidence("no.json", lambda p: None), 2, "No such file", SHIP),
    Row("evidence that is a folder", _evidence("x.json", Path.mkdir), 2, "is no regular file", SHIP),
    Row("a pipe as evidence", _evidence("x.json", os.mkfifo), 2, "is no regular file", SHIP),
    Row("evidence without end", _evidence("x.json", text("[" * 10**6)), 2, "is not readable JSON", SHIP),
    Row("evidence of huge size", _evidence("x.md", _sparse), 2, "at most", SHIP),
    Row("evidence of a hidden name", _evidence(".x.json", text("{}")), 2, "Rename it", SHIP),
    Row("evidence of two lines", _evidence("a\nb.md", text("x")), 2, "Rename it", SHIP),
    Row("two documents of one name", _twice, 2, "Rename one", SHIP),
    Row("a record that is none", _beside("model.quantize.json", []), 2, "a record of `quantize`", SHIP),
]


def _baseline(make: Callable[[Path], object]) -> Maker:
    def add(place: Place) -> None:
        _gated()(place)
        make(place.root / "dense.onnx")
        place.options += ["--baseline", str(place.root / "dense.onnx")]

    return add


def _flip(content: bytes) -> bytes:
    middle = len(content) // 8
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


_UNGATED = options("--ungated")
MODELS = [
    Row("ship without a model", both(_UNGATED, lambda p: p.model.unlink()), 2, "no such file", SHIP),
    Row("ship zero bytes", both(_UNGATED, model_bytes(lambda _: b"")), 2, "is empty (0 bytes)", SHIP),
    Row("ship an altered model", both(_UNGATED, model_bytes(_flip)), 4, "changed after export", SHIP),
    Row("ship without self-test", both(_UNGATED, metadata(GOLDEN_KEY, lambda _: None)), 2, "no self-test", SHIP),
    Row("a baseline that is missing", _baseline(lambda p: None), 2, "no such file", SHIP),
    Row("a pipe as baseline", _baseline(os.mkfifo), 2, "it is no regular file", SHIP),
]


def _key(make: Callable[[Path], object], *, option: str = "--sign-key", package: bool = False) -> Maker:
    def add(place: Place) -> None:
        if package:
            pytest.importorskip("model_signing.signing", reason="the extra [signing] is not installed")
        make(place.root / "key.pem")
        place.options += ["--ungated"] * (option == "--sign-key") + [option, str(place.root / "key.pem")]

    return add


def _without_signing(place: Place) -> None:
    names = {name: None for name in sys.modules if name.startswith("model_signing")}
    place.undo.enter_context(patch.dict(sys.modules, {**names, "model_signing": None}))


KEYS = [
    Row("a key that is missing", _key(lambda p: None), 2, "Cannot read the key", SHIP),
    Row("a pipe as key", _key(os.mkfifo), 2, "is no regular file", SHIP),
    Row("a key of text", _key(text("secret"), package=True), 2, "is no private key for signing", SHIP),
    Row("a key without model-signing", both(_key(text("x")), _without_signing), 3, "[signing]", SHIP),
]


def _out(where: str) -> Maker:
    def name(place: Place) -> None:
        place.out = Path(where.format(root=place.root))

    return both(_UNGATED, name)


def _there(*words: str) -> Maker:
    """The folder is there, with a file of somebody's own."""

    def make(place: Place) -> None:
        place.out.mkdir()
        (place.out / "thesis.md").write_text("precious")
        place.options += ["--ungated", *words]

    return make


def _file_there(place: Place) -> None:
    place.out.write_text("precious")
    place.options += ["--ungated", "--restart"]


def _link_there(place: Place) -> None:
    place.out.symlink_to(place.root)
    place.options += ["--ungated", "--restart"]


def _read_only(place: Place) -> None:
    _small_disk("64k")(place)
    subprocess.run(["mount", "-o", "remount,ro", str(place.root / "disk")], check=True)


def _small_disk(size: str) -> Maker:
    def make(place: Place) -> None:
        mounted(place, place.root / "disk", size)
        place.out = place.root / "disk" / "bundle"
        place.options.append("--ungated")

    return make


PLACES = [
    Row("a bundle where a folder is", _there(), 2, "is there already", SHIP),
    Row("a bundle over a folder of another's", _there("--restart"), 2, "did not write", SHIP),
    Row("a bundle over a file", _file_there, 2, "did not write", SHIP),
    Row("a bundle over a link", _link_there, 2, "did not write", SHIP),
    Row("a bundle over the model's folder", _out("{root}"), 2, "is there already", SHIP),
    Row("a bundle inside a file", _out("{root}/model.onnx/deep"), 2, "is a file, not a folder", SHIP),
    Row("a bundle's name too long", _out("{root}/" + "b" * 300), 3, "File name too long", SHIP),
    Row("a bundle on a read-only disk", _read_only, 3, "Read-only file system", SHIP),
    Row("a disk full at the model", _small_disk("8k"), 3, "No space left on device", SHIP),
    Row("a disk full at the example", _small_disk("128k"), 3, "No space left on device", SHIP),
    Row("ship with no threads", both(_UNGATED, options("--threads", "0")), 2, "'--threads'", SHIP),
    Row("ship by a missing configuration", options("--config", "/no.yaml"), 2, "/no.yaml", SHIP),
    Row("ship two models", options("more.onnx"), 2, "more.onnx", SHIP),
]

SHIPS = [*GATE, *EVIDENCE, *MODELS, *KEYS, *PLACES]
