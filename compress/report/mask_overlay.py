"""Predicted masks on their images: a strip of slices per phase, for a glance before anyone trusts a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from compress.errors import DataError
from compress.report.overlays import SliceItem, crop_box, draw_contour, grey_levels
from compress.report.style import MUTED, picture

COLUMNS = 6
"""Slices of a strip."""


@dataclass(frozen=True)
class Strip:
    """One volume with its mask, (Z, Y, X) both, and what it is called."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    spacing_mm: tuple[float, float, float]
    """Along (z, y, x)."""


def save_mask_overlay(
    path: Path,
    strips: Sequence[Strip],
    title: str,
    *,
    labels: Mapping[str, int],
    colours: Mapping[str, str],
    phantom: bool = False,
) -> Path:
    """Draw one row of evenly spread slices per strip with contours of every structure; returns `path`.

    Slices are cropped around what was found and keep their true proportions. Raises `DataError` without strips.
    """
    if not strips:
        raise DataError("No volumes to draw.", cure="Give at least one.")
    with picture(path, title, size=(1.9 * COLUMNS, 0.9 + 2.0 * len(strips)), phantom=phantom) as figure:
        grid = figure.subplots(len(strips), COLUMNS, squeeze=False)
        for row, strip in zip(grid, strips, strict=True):
            _draw_strip(row, strip, labels, colours)
        handles = [Line2D([], [], color=colours[name], lw=2.5, label=name) for name in labels]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return Path(path)


def spread_slices(mask: np.ndarray, count: int) -> list[int]:
    """Up to `count` evenly spread slices from the first to the last with a structure; of all slices when none has."""
    found = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(mask) - 1)
    return sorted({round(place) for place in np.linspace(first, last, min(count, last - first + 1))})


def _draw_strip(row: Sequence[Axes], strip: Strip, labels: Mapping[str, int], colours: Mapping[str, str]) -> None:
    pixel = strip.spacing_mm[1:]
    flat = strip.mask.max(axis=0)
    box = crop_box(SliceItem(strip.image[0], flat, flat, strip.name, pixel))
    shown = spread_slices(strip.mask, len(row))
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    for axes, z in zip(row, shown, strict=False):
        grey = grey_levels(strip.image[z][box])
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, aspect=pixel[0] / pixel[1], interpolation="bilinear")
        axes.set_xlabel(f"slice {z + 1} of {len(strip.mask)}", color=MUTED, fontsize=8)
        for name, value in sorted(labels.items(), key=lambda item: item[1]):  # the LV last, on top of its ring
            draw_contour(axes, strip.mask[z][box] == value, colours[name])
    row[0].set_ylabel(strip.name, rotation=0, ha="right", va="center", labelpad=8)
