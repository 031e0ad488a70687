"""The overlay of one study: its ED and ES frames, or every image where the phases are not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.colours import structure_colours
from compress.data.scan import nifti_stem
from compress.inference.study_report import Segmented
from compress.report.mask_overlay import Strip, save_mask_overlay

_MAX_STRIPS = 4


def draw_overlay(path: Path, images: Sequence[Segmented], document: dict[str, Any]) -> Path:
    """Write the study's picture; the frames that are shown are read once more."""
    strips = list(islice(_strips(images, document), _MAX_STRIPS))
    labels, told = document["labels"], document["clinical"]
    known = [name for name in ("LV EF", "RV EF") if name in told and told[name]["value"] is not None]
    values = [f"{name} {told[name]['value']:.0f}{told[name]['unit']}" for name in known]
    phantom = document["phantom"]
    title = ", ".join([document["study"], *values, *(["flagged: see the report"] if _is_flagged(document) else [])])
    return save_mask_overlay(
        path,
        strips,
        title + (" (phantom-trained model)" if phantom["model"] and not phantom["images"] else ""),
        labels=labels,
        colours=structure_colours(labels),
        phantom=phantom["images"],
    )


def _is_flagged(document: dict[str, Any]) -> bool:
    return bool(document["flags"]) or any(image["flags"] or image["concerns"] for image in document["images"])


def _strips(images: Sequence[Segmented], document: dict[str, Any]) -> Iterator[Strip]:
    by_mask = {image["mask"]: own for image, own in zip(document["images"], images, strict=True)}
    places = [(name, by_mask[phase["mask"]], phase["frame"] - 1) for name, phase in document["phases"].items()]
    for name, image, frame in places or [("", image, 0) for image in images]:
        label = name or nifti_stem(Path(image.source.output)) or image.source.output
        label += f"\nframe {frame + 1} of {image.file.frames}" if image.file.is_cine else ""
        yield Strip(label, _frame(image, frame), image.labels[frame], image.file.spacing)


def _frame(image: Segmented, number: int) -> np.ndarray:
    return next(islice(image.file.volumes(), number, None))
