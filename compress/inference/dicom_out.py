"""The masks of ED and ES as DICOM Segmentations beside the NIfTI masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.data.dicom.segmentation import write_segmentation
from compress.data.dicom.stack import Stack
from compress.data.sources import Sources
from compress.errors import ConfigError
from compress.inference.jobs import Job
from compress.inference.study_report import Segmented


def check_dicom(found: Sources) -> None:
    """Raise `ConfigError` unless all sources are DICOM, and as `import` does when the extra is missing."""
    import highdicom  # noqa: F401 (told before any work)

    if found.kind != "dicom":
        raise ConfigError("--dicom-seg needs DICOM images, whose series it refers to.", cure="Leave it out.")


def write_segmentations(job: Job, images: Sequence[Segmented], document: dict[str, Any]) -> list[Path]:
    """Write one object for each known phase, or for the one frame of an image without motion; returns their paths.

    Without phases a cine has none: nothing says which of its frames matter. Raises as `write_segmentation` does.
    """
    (image,) = images  # a stack is a study
    stack = image.source.image
    assert isinstance(stack, Stack)
    times = {name: phase["frame"] - 1 for name, phase in document["phases"].items()}
    if not times and not image.file.is_cine:
        times = {"": 0}
    return [
        write_segmentation(
            job.segmentations[name],
            image.labels[time],
            stack=stack,
            time=time,
            labels=document["labels"],
            model=document["trace"]["model"],
        )
        for name, time in times.items()
    ]
