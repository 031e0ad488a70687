"""Does a mask lie on the heart of its image? Blood is brighter than muscle in cine MRI, and muscle surrounds the LV.

All limits were set on the 200 volumes of ACDC's 100 training patients, whose masks give no doubt, and on the same masks
mirrored, reversed, shifted by 10 to 40 mm and exchanged between patients. Of mirrored, reversed and 20 mm shifted ones
all are found, of those shifted by 10 mm 96%, of exchanged ones 80%: hearts often lie alike.
Of masks without myocardium (the LV alone, both cavities) none of the 200 gives a doubt either; of 50 volumes all that
are mirrored, reversed or shifted by 20 mm are found, and 98% of those by 10 mm.
What a single volume does not show, the median over a data set does (`EDGES`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compress.data.volume import ACDC_LABELS, Volume

SURROUNDED = 0.7
"""Share of the LV's outline that touches myocardium: 0.98 and more in experts' masks, of the RV's 0.44 at most."""
FLIP_GAIN = 0.02
"""A mirrored mask fits by this much better than the mask as it is: by -0.06 at most where experts drew it, by 0.05 at
least where it is mirrored or upside down."""
SHIFT_GAIN = 0.08
"""The same of a shifted mask: 0.03 at most for experts' masks, 0.11 at least for masks shifted by 20 mm."""
EDGE = 0.7
"""Share of the LV's edge along which it is brighter than the muscle: 0.73 at least in experts' masks, 0.95 in most; of
masks shifted by 10 mm 0.66 in most, mirrored or reversed ones 0.71."""
EDGES = 0.77
"""The same for the median of three and more volumes: 0.79 at least for any three neighbours of ACDC, 0.85 for four."""
FIT = 0.6
"""Below this a mask fits nowhere: experts' masks come to 0.66 at least, chance is 0.5."""

_LV_WEIGHT = 0.6
_BESIDE_MM = 3.0
"""How far from the edge brightness is compared: further than experts differ, nearer than most myocardium is thick."""
_RING_MM = 7.0
"""Thickness of what stands for the myocardium where a data set has none: thinner than most hearts' walls."""
_POINTS = 1500
"""Voxels of a structure that are looked at."""
_FEWEST = 10
_FEWEST_EDGES = 200
"""Pixel edges between LV and myocardium; the 200 masks of ACDC have more than 500 each."""
_INSIDE = 0.7
"""A moved mask of which less lies in the image is not compared."""
_RADII_MM = (10, 20, 30, 40, 50)
_FLIPS = [flip for flip in np.ndindex(2, 2, 2) if any(flip)]
_FLIPPED = ("with its slices reversed", "mirrored along y", "mirrored along x")
_VALUES = [ACDC_LABELS[name] for name in ("RV", "MYO", "LV")]
_NEEDED = _VALUES[1:]


def mask_doubt(volume: Volume) -> str:
    """Why the mask cannot be right, in words that follow its name; "" when nothing speaks against it.

    A mask that lacks the LV is not looked at, nor one without the myocardium that its data set has; the RV may be
    missing. Where a data set has no myocardium, what lies around the LV stands for it.
    """
    mask = _acdc_mask(volume)
    if mask is None or min(np.bincount(mask.ravel(), minlength=4)[_NEEDED]) < _FEWEST:
        return ""
    return _mixed_labels(mask) or _misplaced(replace(volume, mask=mask))


def edge_share(volume: Volume) -> float | None:
    """Share of the edge between LV and myocardium along which the LV is the brighter one, ties counted half.

    None for a mask with hardly any such edge.
    """
    mask = _acdc_mask(volume)
    return None if mask is None else _edge_share(volume.shown, mask, volume.spacing)


def _edge_share(voxels: np.ndarray, whole: np.ndarray, spacing: tuple[float, float, float]) -> float | None:
    inside, outside = ACDC_LABELS["LV"], ACDC_LABELS["MYO"]
    brighter = edges = 0.0
    for axis in (1, 2):
        steps = max(1, round(_BESIDE_MM / spacing[axis]))
        image, mask = (np.moveaxis(array, axis, 0) for array in (voxels, whole))
        for grey, label in ((image, mask), (image[::-1], mask[::-1])):
            at = (label[steps : -1 - steps] == inside) & (label[1 + steps : len(label) - steps] == outside)
            step = grey[: len(grey) - 1 - 2 * steps][at] - grey[1 + 2 * steps :][at]
            edges += step.size
            brighter += np.count_nonzero(step > 0) + 0.5 * np.count_nonzero(step == 0)
    return float(brighter / edges) if edges >= _FEWEST_EDGES else None


def _acdc_mask(volume: Volume) -> np.ndarray | None:
    """The mask in ACDC's values, whatever values its case has, without other structures; for a data set without
    myocardium with a ring around the LV in its place."""
    if volume.mask is None or volume.case.values == ACDC_LABELS:
        return volume.mask
    table = np.zeros(256, np.uint8)
    for name, value in volume.case.values.items():
        table[value] = ACDC_LABELS.get(name, 0)
    mask = table[volume.mask]
    return mask if "MYO" in volume.case.values else _ringed(mask, volume.spacing)


def _ringed(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """What is background within `_RING_MM` of the LV, in its slice, as myocardium."""
    inside, near = mask == ACDC_LABELS["LV"], np.zeros(mask.shape, bool)
    rows, columns = (int(_RING_MM / size) for size in spacing[1:])
    padded = np.pad(inside, ((0, 0), (rows, rows), (columns, columns)))
    for y, x in np.ndindex(2 * rows + 1, 2 * columns + 1):
        if np.hypot((y - rows) * spacing[1], (x - columns) * spacing[2]) <= _RING_MM:
            near |= padded[:, y : y + mask.shape[1], x : x + mask.shape[2]]
    return np.where(near & (mask == 0), np.uint8(ACDC_LABELS["MYO"]), mask)


def _mixed_labels(mask: np.ndarray) -> str:
    left, right = (_touching(mask, ACDC_LABELS[name]) for name in ("LV", "RV"))
    if left >= SURROUNDED:
        return ""
    if not (mask == ACDC_LABELS["RV"]).any():
        return f"the label values are mixed up: myocardium surrounds {left:.0%} of the LV"
    cause = "LV and RV are swapped" if right >= SURROUNDED else "the label values are mixed up"
    return f"{cause}: myocardium surrounds {left:.0%} of the LV and {right:.0%} of the RV"


def _touching(mask: np.ndarray, value: int) -> float:
    """Share of a structure's outline, along pixel edges within slices (Z, Y, X), behind which myocardium lies."""
    edges = muscle = 0
    for first, second in ((mask[:, 1:], mask[:, :-1]), (mask[:, :, 1:], mask[:, :, :-1])):
        for inner, outer in ((first, second), (second, first)):
            behind = outer[(inner == value) & (outer != value)]
            edges += behind.size
            muscle += int(np.count_nonzero(behind == ACDC_LABELS["MYO"]))
    return muscle / edges if edges else 1.0


@dataclass(frozen=True)
class _Place:
    """The mask somewhere else, and how well it fits there."""

    fit: float
    where: str


def _misplaced(volume: Volume) -> str:
    assert volume.mask is not None
    points = [_sample(np.argwhere(volume.mask == value)) for value in _VALUES]
    own = _fit(volume.shown, points)
    flipped = max((_flip(volume.shown, points, flip) for flip in _FLIPS), key=lambda place: place.fit)
    moved = max((_shift(volume, points, *step) for step in _steps()), key=lambda place: place.fit)
    better = [place for place, gain in ((flipped, FLIP_GAIN), (moved, SHIFT_GAIN)) if place.fit > own + gain]
    if better:
        best = max(better, key=lambda place: place.fit)
        return f"it fits better {best.where} ({best.fit:.2f} instead of {own:.2f}), or is another image's"
    if own < FIT:
        return f"its cavities are hardly brighter than the muscle around them ({own:.2f}): is it another image's?"
    if (share := _edge_share(volume.shown, volume.mask, volume.spacing)) is not None and share < EDGE:
        return f"the LV is brighter than the muscle around it along {share:.0%} of their edge alone: is it shifted?"
    return ""


def _sample(points: np.ndarray) -> np.ndarray:
    return points[:: max(-(-len(points) // _POINTS), 1)]


def _flip(image: np.ndarray, points: list[np.ndarray], flip: tuple[int, ...]) -> _Place:
    last = np.array(image.shape) - 1
    turned = [np.where(flip, last - at, at) for at in points]
    return _Place(_fit(image, turned), " and ".join(name for name, yes in zip(_FLIPPED, flip, strict=True) if yes))


def _steps() -> list[tuple[float, float]]:
    """(mm, angle) of every shift that is tried."""
    return [(radius, angle) for radius in _RADII_MM for angle in np.arange(8) * np.pi / 4]


def _shift(volume: Volume, points: list[np.ndarray], radius: float, angle: float) -> _Place:
    y, x = volume.spacing[1:]
    step = np.array([0, round(radius * np.sin(angle) / y), round(radius * np.cos(angle) / x)])
    return _Place(_fit(volume.shown, [at + step for at in points]), f"shifted by {radius:g} mm")


def _fit(image: np.ndarray, points: list[np.ndarray]) -> float:
    """How surely the voxels at `points` (RV, MYO, LV; each (N, 3)) of both cavities are brighter than the muscle's; of
    the LV alone where the RV has hardly any.

    0.5 is chance, 1 certainty; 0 for a mask that lies outside the image.
    """
    grey = []
    for at in points:
        inside = at[((at >= 0) & (at < image.shape)).all(axis=1)]
        if len(inside) < _INSIDE * len(at):
            return 0.0
        grey.append(image[tuple(inside.T)])
    right, muscle, left = grey
    if len(points[0]) < _FEWEST:
        return _brighter(left, muscle)
    return _LV_WEIGHT * _brighter(left, muscle) + (1 - _LV_WEIGHT) * _brighter(right, muscle)


def _brighter(first: np.ndarray, second: np.ndarray) -> float:
    """The chance that one of the first is brighter than one of the second, ties counted half."""
    ordered = np.sort(second)
    places = np.searchsorted(ordered, first, "left") + np.searchsorted(ordered, first, "right")
    return float(places.mean()) / (2 * len(second))
