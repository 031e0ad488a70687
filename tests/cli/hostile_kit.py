"""What the list of hostile inputs is made of: a row, the folder that it breaks, and the tools to break it with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from limits_kit import no_longer_than
from nifti_kit import raw_file

from compress.files import digest_file
from compress.runtime.card import KEY
from compress.runtime.golden import GOLDEN_KEY
from compress.runtime.modelfile import read_model_file

SHAPE = (4, 64, 64)  # (Z, Y, X)
SPACING = (8.0, 2.0, 2.0)  # mm along (z, y, x)


@dataclass
class Place:
    """A fresh folder with a good model and a good image, for one row to break."""

    root: Path
    model: Path
    source: Path
    out: Path
    options: list[str] = field(default_factory=list)
    undo: ExitStack = field(default_factory=ExitStack)

    def arguments(self, command: str) -> list[object]:
        """What to type; `options` goes last, so that a row can say something twice."""
        if command in ("quantize", "gate"):
            models = [self.model] if command == "quantize" else [self.source, self.model]
            return [command, *models, "--config", self.root / "good.yaml", "--threads", "1", *self.options]
        if command == "check":
            return ["data", "check", self.source, *self.options]
        if command == "convert":
            return ["data", "convert", self.source, self.out, *self.options]
        if command == "info":
            return [command, self.model, *self.options]
        ends = {"predict": [self.source, "-o", self.out], "ship": ["-o", self.out]}.get(command, [])
        threads = [] if "--threads" in self.options else ["--threads", "1"]
        return [command, self.model, *ends, *threads, *self.options]

    @property
    def many(self) -> bool:
        """Whether the source is a folder."""
        with suppress(OSError):  # a name can be too long to look at
            return self.source.is_dir()
        return False


Maker = Callable[[Place], None]


@dataclass(frozen=True)
class Row:
    """One hostile input and how every command named must end."""

    name: str
    make: Maker
    code: int
    """2 bad input, 3 missing environment, 4 gate failed."""
    says: str
    """What the one line must hold: what was got, what is allowed or the cure."""
    commands: tuple[str, ...] = ("predict",)
    leaves: tuple[str, ...] = ()
    """Finished results that stay in the output folder: those of the studies that are not at fault."""


def make_place(root: Path, model: Path) -> Place:
    place = Place(root, root / "model.onnx", root / "heart.nii.gz", root / "out")
    shutil.copyfile(model, place.model)
    write_image(place.source)
    return place


def snapshot(root: Path) -> dict[str, str]:
    """Every path below `root` with its kind or its content's digest; nothing is followed or opened that may block."""
    found = {}
    for path in root.rglob("*"):
        plain = path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
        found[str(path.relative_to(root))] = digest_file(path) if plain else "other"
    return found


def voxels(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Grey levels with a bright blob, int16."""
    noise = np.random.default_rng(seed).integers(0, 60, shape)
    rows, columns = (np.abs(np.arange(n) - n / 2) for n in shape[-2:])
    return (noise + 200 * (np.hypot(rows[:, None], columns) < min(shape[-2:]) / 5)).astype(np.int16)


def write_image(
    path: Path, array: np.ndarray | None = None, *, spacing: tuple[float, ...] = SPACING, **fields: object
) -> Path:
    """A scan of the heart as `raw_file` writes it."""
    pixdim = [1.0, *spacing[::-1], *[1.0] * (7 - len(spacing))]
    array = voxels() if array is None else array
    return raw_file(path, array, **{"pixdim": pixdim, "xyzt_units": 2, **fields})


def options(*words: str) -> Maker:
    return lambda place: place.options.extend(words)


def image(array: np.ndarray | None = None, **fields: Any) -> Maker:
    def make(place: Place) -> None:
        write_image(place.source, array, **fields)

    return make


def image_bytes(change: Callable[[bytes], bytes]) -> Maker:
    def make(place: Place) -> None:
        place.source.write_bytes(change(place.source.read_bytes()))

    return make


def model_bytes(change: Callable[[bytes], bytes]) -> Maker:
    def make(place: Place) -> None:
        place.model.write_bytes(change(place.model.read_bytes()))

    return make


def model(change: Callable[[onnx.ModelProto], object]) -> Maker:
    """Change the parsed model."""

    def make(place: Place) -> None:
        parsed = onnx.load(place.model, load_external_data=False)
        change(parsed)
        place.model.write_bytes(parsed.SerializeToString())

    return make


def resealed(change: Callable[[onnx.ModelProto], object]) -> Maker:
    """Change the parsed model, and forge the digest in its self-test, which would tell at once."""

    def make(place: Place) -> None:
        model(change)(place)
        digest = read_model_file(place.model).graph_sha256
        metadata(GOLDEN_KEY, lambda text: json.dumps({**json.loads(text), "graph_sha256": digest}))(place)

    return make


def metadata(key: str, change: Callable[[str], str | None]) -> Maker:
    """Change the text under one metadata key; None takes it out."""

    def apply(parsed: onnx.ModelProto) -> None:
        entry = next(entry for entry in parsed.metadata_props if entry.key == key)
        text = change(entry.value)
        if text is None:
            parsed.metadata_props.remove(entry)
        else:
            entry.value = text

    return model(apply)


def card_text(text: str) -> Maker:
    return metadata(KEY, lambda _: text)


def card(place: str, value: object) -> Maker:
    """Set the card's value at a place such as "input.size"."""
    return _document(KEY, place, value)


def golden(place: str, value: object) -> Maker:
    return _document(GOLDEN_KEY, place, value)


def _document(key: str, place: str, value: object) -> Maker:
    def apply(text: str) -> str:
        document = inner = json.loads(text)
        *above, last = place.split(".")
        for name in above:
            inner = inner[name]
        inner[last] = value
        return json.dumps(document, sort_keys=True)

    return metadata(key, apply)


def both(*makers: Maker) -> Maker:
    def make(place: Place) -> None:
        for each in makers:
            each(place)

    return make


def mounted(place: Place, path: Path, size: str) -> None:
    """A tmpfs of `size` at `path` until the test ends; skips where mounting is not allowed."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    place.undo.callback(subprocess.run, ["umount", str(path)], check=True)


SECONDS = 20
"""Nothing here takes one; a command that waits for a pipe or a device would take for ever."""


@contextmanager
def native_stderr() -> Iterator[list[str]]:
    """What libraries write past Python to file descriptor 2."""
    said: list[str] = []
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            said.append(caught.read().decode(errors="replace"))


def check(row: Row, place: Place, command: Callable[..., Any]) -> None:
    """Every command of `row` ends in one line and the right code; inputs stay, and nothing but `leaves` is added."""
    with place.undo:
        row.make(place)
        before = snapshot(place.root)
        for name in row.commands:
            with no_longer_than(SECONDS), native_stderr() as said:
                result = command(*place.arguments(name))
            assert (said, result.code) == ([""], row.code), (name, result)
            *warnings, error = result.err.splitlines()
            assert error.startswith("error: ") and row.says in error, (name, result)
            assert all(line.startswith("warning: ") for line in warnings), (name, result)
            assert place.many or not warnings, (name, result)
            assert error.isprintable() and "Traceback" not in result.err + result.out
        after = snapshot(place.root)
        assert {path: after.get(path) for path in before} == before, "inputs are left alone"
        added = {str(Path(path).relative_to(place.out.relative_to(place.root))) for path in after.keys() - before}
        assert added == ({".", *row.leaves} if row.leaves else set())
