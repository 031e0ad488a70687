"""Drawing slices: images with the outlines of masks on them, and maps of where two masks disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from compress.data.colours import structure_colours
from compress.errors import DataError
from compress.report.slices import SlicePicture
from compress.report.style import CONFUSED, EXTRA, MISSED, MUTED, picture

_MARGIN = 0.35
"""Free room around a heart on each side, relative to the larger side of its box."""
_SMALLEST_MM = 90.0
"""Side of the smallest window, in mm: keeps small apical slices in context."""


def save_slices(
    path: Path,
    items: Sequence[SlicePicture],
    title: str,
    labels: Mapping[str, int],
    *,
    columns: Sequence[str] = ("Prediction",),
    phantom: bool = False,
) -> Path:
    """Draw one row per slice: reference, every network's contours, and a map of where the two compared disagree.

    Where there is one network alone the bare image stands in front. Slices are cropped around the heart and keep
    their true proportions. `labels` maps structure names to label values; `columns` are the networks' names, in the
    order of the slices' masks. Returns `path`. Raises `DataError` without items.
    """
    if not items:
        raise DataError("No slices to draw.", cure="Give slices that hold a structure.")
    names = ["Image", "Reference", *map(_short, columns)][-3:]
    with picture(path, title, size=(8.2, 1.15 + 1.8 * len(items)), phantom=phantom) as figure:
        grid = empty_grid(figure, len(items), 4)
        for row, item in zip(grid, items, strict=True):
            _draw_row(row, item, labels)
        for axes, name in zip(grid[0], (*names, "Where the two differ"), strict=True):
            axes.set_title(name, loc="center")
        figure.legend(handles=list(_legend(labels, names[-2:])), loc="outside lower center", ncols=3)
    return Path(path)


def empty_grid(figure: Figure, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) axes that show nothing but what is drawn on them."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return grid


def label_row(axes: Axes, text: str) -> None:
    """Write a row's name to the left of its first axes."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=8)


def structure_handles(labels: Mapping[str, int]) -> list[Line2D]:
    """A legend's entry for every structure."""
    return [Line2D([], [], color=colour, lw=2.5, label=name) for name, colour in structure_colours(labels).items()]


def crop_box(foreground: np.ndarray, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a physically square window around a (Y, X) foreground, inside the image where possible.

    The whole slice without foreground.
    """
    places = np.argwhere(foreground)
    if not len(places):
        return slice(0, foreground.shape[0]), slice(0, foreground.shape[1])
    low, high = places.min(0), places.max(0) + 1
    pixel = np.asarray(pixel_mm)
    side_mm = max(float(((high - low) * pixel).max()) * (1 + 2 * _MARGIN), _SMALLEST_MM)
    sides = np.minimum(np.ceil(side_mm / pixel).astype(int), foreground.shape)
    starts = np.clip(np.round((low + high - sides) / 2).astype(int), 0, np.asarray(foreground.shape) - sides)
    rows, columns = (slice(int(start), int(start + side)) for start, side in zip(starts, sides, strict=True))
    return rows, columns


def draw(
    axes: Axes, image: np.ndarray, mask: np.ndarray, labels: Mapping[str, int], pixel_mm: tuple[float, float]
) -> None:
    """Show an image (Y, X) in grey with the outline of every structure of a mask on it."""
    aspect = pixel_mm[0] / pixel_mm[1]
    axes.imshow(_grey_levels(image), cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
    colours = structure_colours(labels)
    for name, value in sorted(labels.items(), key=lambda item: item[1]):  # the LV last, on top of its ring
        _draw_contour(axes, mask == value, colours[name])


def disagreement(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean (Y, X) masks by colour: in the first only, in the second only, and different structures."""
    left, right = first > 0, second > 0
    return {MISSED: left & ~right, EXTRA: right & ~left, CONFUSED: left & right & (first != second)}


def _draw_row(row: Sequence[Axes], item: SlicePicture, labels: Mapping[str, int]) -> None:
    box = crop_box(item.foreground, item.pixel_mm)
    bare = np.zeros_like(item.reference)
    for axes, mask in zip(row[:3], (bare, item.reference, *item.masks)[-3:], strict=True):
        draw(axes, item.image[box], mask[box], labels, item.pixel_mm)
    for axes, dice in zip(row[3 - len(item.masks) : 3], item.dice, strict=True):
        axes.set_xlabel(f"Dice {dice:.3f}")
    _draw_map(row[3], item, box)
    label_row(row[0], f"{item.case.name}\n{item.position}")


def _draw_map(axes: Axes, item: SlicePicture, box: tuple[slice, slice]) -> None:
    """The dimmed image with the voxels in colour on which the two compared disagree."""
    canvas = np.repeat(0.55 * _grey_levels(item.image[box])[..., None], 3, axis=-1)
    for colour, mask in disagreement(*item.compared).items():
        canvas[mask[box]] = to_rgb(colour)
    axes.imshow(canvas, aspect=item.pixel_mm[0] / item.pixel_mm[1], interpolation="nearest")
    area = item.disagreement_mm2
    axes.set_xlabel(f"{area:.0f} mm²" if area else "no difference", color=MUTED)


def _grey_levels(image: np.ndarray) -> np.ndarray:
    """The image scaled to [0, 1] between its 1st and 99.5th percentiles."""
    low, high = np.percentile(image, [1, 99.5])
    return np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)


def _draw_contour(axes: Axes, mask: np.ndarray, colour: str) -> None:
    """Outline a mask; a border of background closes outlines at the picture's edge."""
    if mask.any():
        padded = np.pad(mask.astype(float), 1)
        rows, columns = (np.arange(-1, size - 1) for size in padded.shape)
        axes.autoscale(False)  # outlines must not change the frame of the picture
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.6)


def _legend(labels: Mapping[str, int], names: Sequence[str]) -> Iterator[Line2D | Patch]:
    """Structures, then the meaning of the map's colours, filled column by column in three columns."""
    structures = structure_handles(labels)
    meanings = {MISSED: f"{names[0]} only", EXTRA: f"{names[1]} only", CONFUSED: "other structure"}
    patches = [Patch(facecolor=colour, label=text) for colour, text in meanings.items()]
    yield from (handle for both in zip(structures, patches, strict=False) for handle in both)
    yield from (*structures[len(patches) :], *patches[len(structures) :])


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
