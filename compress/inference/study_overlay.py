"""The overlay of one study: slices of its ED and ES frames, or of every image where the phases are not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from compress.data.scan import image_stem
from compress.data.volume import first_channel
from compress.inference.study_report import Segmented
from compress.report.slice_pictures import crop_box, draw, empty_grid, label_row, structure_handles
from compress.report.style import MUTED, picture

_MAX_ROWS = 4
_COLUMNS = 6
"""Slices of a row."""


def draw_overlay(path: Path, images: Sequence[Segmented], document: dict[str, Any]) -> Path:
    """Write the study's picture, one row of slices per frame; the frames that are shown are read once more."""
    frames = list(islice(_frames(images, document), _MAX_ROWS))
    size = 1.9 * _COLUMNS, 0.9 + 2.0 * len(frames)
    with picture(path, _title(document), size=size, phantom=document["phantom"]["images"]) as figure:
        grid = empty_grid(figure, len(frames), _COLUMNS)
        for row, (name, image, frame) in zip(grid, frames, strict=True):
            label_row(row[0], name)
            _draw_frame(row, image, frame, document["labels"])
        handles = structure_handles(document["labels"])
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return path


def spread_slices(mask: np.ndarray, count: int) -> list[int]:
    """Up to `count` evenly spread slices from the first to the last with a structure; of all slices when none has."""
    found = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(mask) - 1)
    return sorted({round(place) for place in np.linspace(first, last, min(count, last - first + 1))})


def _title(document: dict[str, Any]) -> str:
    """The study, its ejection fractions, and what to be wary of."""
    values, phantom = document["clinical"], document["phantom"]
    known = [name for name in ("LV EF", "RV EF") if name in values and values[name]["value"] is not None]
    parts = [document["study"], *(f"{name} {values[name]['value']:.0f}{values[name]['unit']}" for name in known)]
    if document["flags"] or any(image["flags"] or image["concerns"] for image in document["images"]):
        parts.append(f"flagged: see {document['study']}.json")
    return ", ".join(parts) + (" (phantom-trained model)" if phantom["model"] and not phantom["images"] else "")


def _frames(images: Sequence[Segmented], document: dict[str, Any]) -> Iterator[tuple[str, Segmented, int]]:
    """What to show: the name of each row, an image, and the index of one of its frames."""
    by_mask = {image["mask"]: own for image, own in zip(document["images"], images, strict=True)}
    places = [(name, by_mask[phase["mask"]], phase["frame"] - 1) for name, phase in document["phases"].items()]
    for name, image, frame in places or [("", image, 0) for image in images]:
        label = name or image_stem(Path(image.source.output)) or image.source.output
        yield label + (f"\nframe {frame + 1} of {image.file.frames}" if image.file.is_cine else ""), image, frame


def _draw_frame(row: Sequence[Axes], image: Segmented, frame: int, labels: Mapping[str, int]) -> None:
    """Slices spread over what was found in one frame, all cropped alike."""
    voxels, mask = first_channel(next(islice(image.file.volumes(), frame, None))), image.labels[frame]
    pixel = image.file.spacing[1:]
    box = crop_box(mask.any(axis=0), pixel)
    for axes, z in zip(row, spread_slices(mask, len(row)), strict=False):
        draw(axes, voxels[z][box], mask[z][box], labels, pixel)
        axes.set_xlabel(f"slice {z + 1} of {len(mask)}", color=MUTED, fontsize=8)
