"""Two networks on one slice: the reference, both segmentations, and where the two disagree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from compress.data.colours import structure_colours
from compress.errors import DataError
from compress.evaluate.metrics import foreground_dice
from compress.report.overlays import SliceItem, crop_box, disagreement_picture, draw_contour, grey_levels
from compress.report.style import CONFUSED, EXTRA, MISSED, MUTED, picture


@dataclass(frozen=True)
class PairItem:
    """One slice that two networks segmented. All arrays are (Y, X); label arrays hold label values, 0 is background."""

    image: np.ndarray
    reference: np.ndarray
    baseline: np.ndarray
    candidate: np.ndarray
    name: str
    """The volume's name, such as "patient001_ED"."""
    patient: str
    position: str = ""
    """Which slice, such as "slice 4 of 10"."""
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    """Pixel size in mm along (row, column)."""

    def __post_init__(self) -> None:
        shapes = [part.shape for part in (self.image, self.reference, self.baseline, self.candidate)]
        if len(set(shapes)) != 1 or self.image.ndim != 2:
            raise DataError(f"'{self.name}': image, reference and segmentations have shapes {shapes}, not one (Y, X).")

    @property
    def disagreement_mm2(self) -> float:
        """The area on which the two networks give different labels."""
        return float(np.count_nonzero(self.baseline != self.candidate)) * self.spacing_mm[0] * self.spacing_mm[1]

    @property
    def has_foreground(self) -> bool:
        """Whether the reference or a network sees any structure."""
        return bool(self.reference.any() or self.baseline.any() or self.candidate.any())


def pair_items(
    image: np.ndarray,
    reference: np.ndarray,
    baseline: np.ndarray,
    candidate: np.ndarray,
    *,
    name: str,
    patient: str,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> list[PairItem]:
    """Every slice with foreground of one volume; arrays are (Z, Y, X), `spacing_mm` is along (z, y, x)."""
    pixel = (float(spacing_mm[1]), float(spacing_mm[2]))
    items = (
        PairItem(*parts, name, patient, f"slice {z + 1} of {len(image)}", pixel)
        for z, parts in enumerate(zip(image, reference, baseline, candidate, strict=True))
    )
    return [item for item in items if item.has_foreground]


def pick_pairs(items: Iterable[PairItem], *, worst: int = 3) -> list[PairItem]:
    """The slices with the largest area of disagreement, one per patient, then one of median area from another patient.

    Largest first. The median is that over all slices with foreground; of the patients that are not shown yet the slice
    nearest to it in rank is taken. Ties keep the order of names and positions.
    """
    ranked = sorted((i for i in items if i.has_foreground), key=lambda i: (-i.disagreement_mm2, i.name, i.position))
    largest: dict[str, PairItem] = {}
    for item in ranked:
        largest.setdefault(item.patient, item)
    chosen = list(largest.values())[:worst]
    shown = {item.patient for item in chosen}
    others = [rank for rank, item in enumerate(ranked) if item.patient not in shown]
    return chosen + [ranked[rank] for rank in sorted(others, key=lambda rank: abs(rank - len(ranked) // 2))[:1]]


def save_pair_overlays(
    path: Path,
    items: Sequence[PairItem],
    title: str,
    labels: Mapping[str, int],
    *,
    names: tuple[str, str] = ("Baseline", "Candidate"),
    phantom: bool = False,
) -> Path:
    """Draw one row per item: reference, both networks' contours, and a map of where the two disagree.

    Slices are cropped around the heart and keep their true proportions; `labels` maps structure names to label
    values, `names` are the networks'. Returns `path`. Raises `DataError` without items.
    """
    if not items:
        raise DataError("No slices to draw.", cure="Give slices that hold a structure.")
    colours = structure_colours(list(labels))
    with picture(path, title, size=(8.2, 1.15 + 1.8 * len(items)), phantom=phantom) as figure:
        grid = figure.subplots(len(items), 4, squeeze=False)
        for row, item in zip(grid, items, strict=True):
            _draw_row(row, item, labels, colours)
        for axes, name in zip(grid[0], ("Reference", *map(_short, names), "Where the two differ"), strict=True):
            axes.set_title(name, loc="center")
        figure.legend(handles=list(_legend(colours, names)), loc="outside lower center", ncols=3)
    return Path(path)


def _draw_row(row: Sequence[Axes], item: PairItem, labels: Mapping[str, int], colours: Mapping[str, str]) -> None:
    box = crop_box(_union(item))
    image = grey_levels(item.image[box])
    masks = [item.reference[box], item.baseline[box], item.candidate[box]]
    aspect = item.spacing_mm[0] / item.spacing_mm[1]
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    for axes, mask in zip(row[:3], masks, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
        for name, value in labels.items():
            draw_contour(axes, mask == value, colours[name])
    for axes, mask in zip(row[1:3], (item.baseline, item.candidate), strict=True):
        axes.set_xlabel(f"Dice {foreground_dice(mask, item.reference):.3f}")
    row[3].imshow(disagreement_picture(image, *masks[1:]), aspect=aspect, interpolation="nearest")
    row[3].set_xlabel(_area(item), color=MUTED)
    row[0].set_ylabel(f"{item.name}\n{item.position}", rotation=0, ha="right", va="center", labelpad=8)


def _union(item: PairItem) -> SliceItem:
    """All that anyone outlined: what the crop must hold."""
    return SliceItem(item.image, item.reference, np.maximum(item.baseline, item.candidate), item.name, item.spacing_mm)


def _area(item: PairItem) -> str:
    area = item.disagreement_mm2
    return f"{area:.0f} mm²" if area else "no difference"


def _legend(colours: Mapping[str, str], names: tuple[str, str]) -> Iterator[Line2D | Patch]:
    """Structures, then the meaning of the map's colours, filled column by column in three columns."""
    structures = [Line2D([], [], color=colour, lw=2.5, label=name) for name, colour in colours.items()]
    meanings = {MISSED: f"{_short(names[0])} only", EXTRA: f"{_short(names[1])} only", CONFUSED: "other structure"}
    patches = [Patch(facecolor=colour, label=text) for colour, text in meanings.items()]
    yield from (handle for both in zip(structures, patches, strict=False) for handle in both)
    yield from (*structures[len(patches) :], *patches[len(structures) :])


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
