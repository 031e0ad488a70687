"""Images of other kinds as NIfTI that lies where they lie in the patient; one frame is held at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from compress.data.frames import ImageFile
from compress.data.label_file import NO_EXTENSIONS, spatial_header
from compress.data.scan import Problem
from compress.data.sources import find_sources
from compress.errors import ConfigError, DataError
from compress.files import atomic_path, remove_partials
from compress.lock import locked
from compress.progress import SILENT, Progress

Earlier = Literal["refuse", "resume", "restart"]

_LEVEL = 1
"""zlib's; grey levels come out hardly smaller at 9, and take far longer."""


@dataclass
class Converted:
    """What came of it."""

    written: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: Sequence[str] = ()
    kept: int = 0
    """Of `written`, those that an earlier run had finished."""


def convert(
    source: Path, out: Path, *, recursive: bool = False, earlier: Earlier = "refuse", progress: Progress = SILENT
) -> Converted:
    """Write every image at `source` into the folder `out` as .nii.gz, float32, 3D or (X, Y, Z, time).

    What cannot be read stands among the problems, and the others go on.
    earlier: what becomes of files that are there already; "resume" keeps those that lie on the grid of their image.
    Raises `DataError` when there is nothing to convert, and `ConfigError` for a file that is already there and is not
    to be kept or replaced, or while another process writes into the folder.
    """
    found = find_sources(source, recursive=recursive)
    sources = [image for study in found.studies.values() for image in study]
    targets = [Path(out) / image.output for image in sources]
    if earlier == "refuse" and (taken := next((target for target in targets if target.exists()), None)):
        cure = "Keep what is there with --resume, write it anew with --restart, or name another folder."
        raise ConfigError(f"{taken} is already there.", cure=cure)
    done = Converted(problems=list(found.problems), notes=found.notes)
    with locked(Path(out), progress=progress), progress.task("Converting", len(sources)) as task:
        remove_partials(targets)
        for image, target in zip(sources, targets, strict=True):
            try:
                file = image.image.open()
                if earlier == "resume" and target.exists():
                    _check_kept(target, file)
                    done.kept += 1
                else:
                    write_image(target, file)
                done.written.append(target)
            except DataError as fault:
                done.problems.append(Problem(image.path, str(fault)))
            task.advance(info=image.study)
    return done


def _check_kept(target: Path, file: ImageFile) -> None:
    """Raise `ConfigError` for a file that was not made of this image: files are whole, so the header tells."""
    wanted = spatial_header(file.header, np.float32).binaryblock
    with suppress(OSError, EOFError, zlib.error), gzip.open(target) as packed:
        if packed.read(len(wanted)) == wanted:
            return
    raise ConfigError(f"{target} was made of another image.", cure="Write it anew with --restart.")


def write_image(target: Path, file: ImageFile) -> Path:
    """Write an opened image as float32 NIfTI with its own grid and no text; whole or not at all.

    Raises `DataError` for an image that cannot be read, and `EnvironmentFault` as `atomic_path` does.
    """
    header = spatial_header(file.header, np.float32)
    with (
        atomic_path(target) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(header.binaryblock + NO_EXTENSIONS)
        for volume in file.volumes():
            packed.write(np.ascontiguousarray(volume, dtype=np.float32).data)
    return target
