"""Pictures of segmentations: image, reference, prediction and where they disagree, one row per slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from compress.data.colours import structure_colours
from compress.errors import DataError
from compress.evaluate.metrics import foreground_dice
from compress.report.style import CONFUSED, EXTRA, MISSED, MUTED, picture

COLUMNS = ("Image", "Reference", "Prediction", "Disagreement")


@dataclass(frozen=True)
class SliceItem:
    """One slice to show. All arrays are (H, W); label arrays hold label values, 0 is background."""

    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    caption: str
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    """Pixel size in mm along (row, column)."""

    def __post_init__(self) -> None:
        shapes = [self.image.shape, self.reference.shape, self.prediction.shape]
        if len(set(shapes)) != 1 or self.image.ndim != 2:
            raise DataError(f"'{self.caption}': image, reference and prediction have shapes {shapes}, not one (H, W).")

    @cached_property
    def dice(self) -> float:
        """Foreground Dice of the slice over all structures (labels must match)."""
        return foreground_dice(self.prediction, self.reference)

    @property
    def has_foreground(self) -> bool:
        """Whether the reference or the prediction holds any structure."""
        return bool(self.reference.any() or self.prediction.any())


def slice_items(
    image: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    *,
    name: str,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> list[SliceItem]:
    """Every slice with foreground of one volume; arrays are (Z, H, W), `spacing_mm` is along (z, y, x)."""
    pixel = (float(spacing_mm[1]), float(spacing_mm[2]))
    items = (
        SliceItem(image[z], reference[z], prediction[z], f"{name}\nslice {z + 1} of {len(image)}", pixel)
        for z in range(len(image))
    )
    return [item for item in items if item.has_foreground]


def pick_slices(items: Iterable[SliceItem], num_visuals: int) -> dict[str, list[SliceItem]]:
    """`num_visuals` slices each under "best", "median" and "worst" by foreground slice Dice.

    Slices without reference or predicted foreground are left out. No slice appears twice: with too few of them the
    worst are chosen first, then the best, then those nearest to the median. Ties keep the order of the captions.
    Best slices come best first, worst slices worst first.
    """
    ranked = sorted((item for item in items if item.has_foreground), key=lambda item: (item.dice, item.caption))
    worst, rest = ranked[:num_visuals], ranked[num_visuals:]
    split = max(0, len(rest) - num_visuals)
    best, rest = rest[split:][::-1], rest[:split]
    # Worst and best take equally many from the ends, so the middle of the rest is the median of all.
    start = max(0, (len(rest) - num_visuals) // 2)
    return {"best": best, "median": rest[start : start + num_visuals], "worst": worst}


def save_overlays(
    path: Path, items: Sequence[SliceItem], title: str, labels: Mapping[str, int], *, phantom: bool = False
) -> Path:
    """Draw one row per item: image, reference contours, prediction contours, disagreement map.

    Slices are cropped around the heart with a margin and keep their true proportions; `labels` maps structure names
    to label values. Returns `path`. Raises `DataError` without items.
    """
    if not items:
        raise DataError("No slices to draw.", cure="Give slices that hold a structure.")
    colours = structure_colours(list(labels))
    with picture(path, title, size=(9.6, 0.95 + 2.2 * len(items)), phantom=phantom) as figure:
        grid = figure.subplots(len(items), len(COLUMNS), squeeze=False)
        for row, item in zip(grid, items, strict=True):
            _draw_row(row, item, labels, colours)
        for axes, name in zip(grid[0], COLUMNS, strict=True):
            axes.set_title(name, loc="center")
        handles = [Line2D([], [], color=colour, lw=2.5, label=name) for name, colour in colours.items()]
        meanings = {MISSED: "missed (reference only)", EXTRA: "extra (prediction only)", CONFUSED: "wrong structure"}
        handles += [Patch(facecolor=colour, label=name) for colour, name in meanings.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return Path(path)


def crop_box(item: SliceItem, *, margin: float = 0.35, smallest_mm: float = 90.0) -> tuple[slice, slice]:
    """Rows and columns of a physically square window around all foreground, inside the image where possible.

    `margin` is relative to the larger side of the foreground's box; `smallest_mm` keeps small apical slices in
    context. The whole slice without foreground.
    """
    places = np.argwhere((item.reference > 0) | (item.prediction > 0))
    if not len(places):
        return slice(0, item.image.shape[0]), slice(0, item.image.shape[1])
    low, high = places.min(0), places.max(0) + 1
    pixel = np.asarray(item.spacing_mm)
    side_mm = max(float(((high - low) * pixel).max()) * (1 + 2 * margin), smallest_mm)
    sides = np.minimum(np.ceil(side_mm / pixel).astype(int), item.image.shape)
    starts = np.clip(np.round((low + high - sides) / 2).astype(int), 0, np.asarray(item.image.shape) - sides)
    rows, columns = (slice(int(start), int(start + side)) for start, side in zip(starts, sides, strict=True))
    return rows, columns


def disagreement(reference: np.ndarray, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean (H, W) masks by colour: missed, extra, and confused between structures."""
    wanted, found = reference > 0, prediction > 0
    return {
        MISSED: wanted & ~found,
        EXTRA: found & ~wanted,
        CONFUSED: wanted & found & (reference != prediction),
    }


def _draw_row(row: Sequence[Axes], item: SliceItem, labels: Mapping[str, int], colours: Mapping[str, str]) -> None:
    box = crop_box(item)
    image, reference, prediction = grey_levels(item.image[box]), item.reference[box], item.prediction[box]
    aspect = item.spacing_mm[0] / item.spacing_mm[1]
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    for axes in row[:3]:
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
    for axes, mask in ((row[1], reference), (row[2], prediction)):
        for name, value in labels.items():
            draw_contour(axes, mask == value, colours[name])
    row[3].imshow(disagreement_picture(image, reference, prediction), aspect=aspect, interpolation="nearest")
    row[0].set_ylabel(f"{item.caption}\nDice {item.dice:.3f}", rotation=0, ha="right", va="center", labelpad=8)
    if not any(mask.any() for mask in disagreement(reference, prediction).values()):
        row[3].set_xlabel("no difference", color=MUTED)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """The image scaled to [0, 1] between its 1st and 99.5th percentiles."""
    low, high = np.percentile(image, [1, 99.5])
    return np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)


def draw_contour(axes: Axes, mask: np.ndarray, colour: str) -> None:
    """Outline a mask; a border of background closes outlines at the picture's edge."""
    if mask.any():
        padded = np.pad(mask.astype(float), 1)
        rows, columns = (np.arange(-1, size - 1) for size in padded.shape)
        axes.autoscale(False)  # outlines must not change the frame of the picture
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.6)


def disagreement_picture(image: np.ndarray, reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(H, W, 3): the dimmed image with wrong voxels in colour."""
    canvas = np.repeat(0.55 * image[..., None], 3, axis=-1)
    for colour, mask in disagreement(reference, prediction).items():
        canvas[mask] = to_rgb(colour)
    return canvas
