"""Images of other kinds as NIfTI that lies where they lie in the patient; one frame is held at a time."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compress.data.frames import ImageFile
from compress.data.label_file import NO_EXTENSIONS, spatial_header
from compress.data.scan import Problem
from compress.data.sources import find_sources
from compress.errors import ConfigError, DataError
from compress.files import atomic_path
from compress.progress import SILENT, Progress

_LEVEL = 1
"""zlib's; grey levels come out hardly smaller at 9, and take far longer."""


@dataclass
class Converted:
    """What came of it."""

    written: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: Sequence[str] = ()


def convert(source: Path, out: Path, *, progress: Progress = SILENT) -> Converted:
    """Write every image at `source` into the folder `out` as .nii.gz, float32, 3D or (X, Y, Z, time).

    What cannot be read stands among the problems, and the others go on.
    Raises `DataError` when there is nothing to convert, and `ConfigError` for a file that is already there.
    """
    found = find_sources(source)
    sources = [image for study in found.studies.values() for image in study]
    out = Path(out)
    if taken := next((out / image.output for image in sources if (out / image.output).exists()), None):
        raise ConfigError(f"{taken} is already there.", cure="Name another folder.")
    done = Converted(problems=list(found.problems), notes=found.notes)
    with progress.task("Converting", len(sources)) as task:
        for image in sources:
            try:
                done.written.append(write_image(out / image.output, image.image.open()))
            except DataError as fault:
                done.problems.append(Problem(image.path, str(fault)))
            task.advance(info=image.study)
    return done


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
