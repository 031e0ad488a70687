"""Slices that networks segmented, and which of them are worth a look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compress.data.layouts import read_volume
from compress.data.volume import Case, Volume
from compress.errors import DataError
from compress.evaluate.metrics import foreground_dice


@dataclass(frozen=True)
class SlicePicture:
    """One slice to show. All arrays are (Y, X); `reference` and `masks` hold label values, 0 is background."""

    image: np.ndarray
    reference: np.ndarray
    masks: tuple[np.ndarray, ...]
    """The segmentations of one network or two."""
    case: Case
    position: str = ""
    """Which slice of the case's volume, such as "slice 4 of 10"."""
    pixel_mm: tuple[float, float] = (1.0, 1.0)
    """Pixel size in mm along (row, column)."""

    def __post_init__(self) -> None:
        shapes = [part.shape for part in (self.image, self.reference, *self.masks)]
        if len(set(shapes)) != 1 or self.image.ndim != 2:
            raise DataError(f"'{self.case.name}': image, reference and masks have shapes {shapes}, not one (Y, X).")

    @cached_property
    def dice(self) -> tuple[float, ...]:
        """Foreground Dice of each mask over all structures (labels must match)."""
        return tuple(foreground_dice(mask, self.reference) for mask in self.masks)

    @property
    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """What is compared on the slice: two networks, or the reference and the only network."""
        first, second = (self.reference, *self.masks)[-2:]
        return first, second

    @cached_property
    def disagreement_mm2(self) -> float:
        """The area on which the two that are compared give different labels."""
        first, second = self.compared
        return float(np.count_nonzero(first != second)) * self.pixel_mm[0] * self.pixel_mm[1]

    @property
    def foreground(self) -> np.ndarray:
        """Boolean: where the reference or a network sees any structure."""
        return np.any([self.reference, *self.masks], axis=0)


def slices_of(volume: Volume, masks: Sequence[np.ndarray]) -> Iterator[SlicePicture]:
    """Every slice with foreground of a volume with a reference; `masks` are (Z, Y, X), one for each network."""
    assert volume.mask is not None
    for z, (image, reference, *found) in enumerate(zip(volume.shown, volume.mask, *masks, strict=True), start=1):
        position = f"slice {z} of {len(volume.shown)}"
        item = SlicePicture(image, reference, tuple(found), volume.case, position, volume.spacing[1:])
        if item.foreground.any():
            yield item


def slices_of_cases(cases: Iterable[Case], masks: Iterable[Sequence[np.ndarray]]) -> Iterator[SlicePicture]:
    """The same of every case, which is read here; `masks` gives each case's in the cases' order."""
    for case, found in zip(cases, masks, strict=True):
        yield from slices_of(read_volume(case), found)


def pick_slices(items: Iterable[SlicePicture], num_visuals: int) -> dict[str, list[SlicePicture]]:
    """`num_visuals` slices each under "best", "median" and "worst" by foreground slice Dice of the only network.

    No slice appears twice: with too few of them the worst are chosen first, then the best, then those nearest to the
    median. Ties keep the order of names and positions. Best slices come best first, worst slices worst first.
    """
    ranked = sorted(items, key=lambda item: (item.dice, item.case.name, item.position))
    worst, rest = ranked[:num_visuals], ranked[num_visuals:]
    split = max(0, len(rest) - num_visuals)
    best, rest = rest[split:][::-1], rest[:split]
    # Worst and best take equally many from the ends, so the middle of the rest is the median of all.
    start = max(0, (len(rest) - num_visuals) // 2)
    return {"best": best, "median": rest[start : start + num_visuals], "worst": worst}


def pick_pairs(items: Iterable[SlicePicture], *, worst: int = 3) -> list[SlicePicture]:
    """The slices with the largest area of disagreement, one per patient, then one of median area from another patient.

    Largest first. The median is that over all slices; of the patients that are not shown yet the slice nearest to it
    in rank is taken. Ties keep the order of names and positions.
    """
    ranked = sorted(items, key=lambda item: (-item.disagreement_mm2, item.case.name, item.position))
    largest: dict[str, SlicePicture] = {}
    for item in ranked:
        largest.setdefault(item.case.patient, item)
    chosen = list(largest.values())[:worst]
    shown = {item.case.patient for item in chosen}
    others = [rank for rank, item in enumerate(ranked) if item.case.patient not in shown]
    return chosen + [ranked[rank] for rank in sorted(others, key=lambda rank: abs(rank - len(ranked) // 2))[:1]]
