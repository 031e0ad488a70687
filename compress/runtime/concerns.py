"""Is this the kind of image that the network was trained on? Asked of every volume before it is segmented.

Concerns are doubts that a person may overrule (`force`); what no network can use is always refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from compress.data.volume import check_spacing, two_voxel_sizes
from compress.errors import DataError
from compress.runtime.card import TrainingRange
from compress.runtime.stack import CURES as STACK_CURES
from compress.runtime.stack import MAX_SLICES, NO_VOLUME, stack_doubts

CLEARLY = 1.5
"""A spacing is clearly coarser than another above this ratio. Short-axis slices lie at least 2.8 pixels apart in
ACDC, and reconstructed MR pixels are square."""
FAR = 2.0
"""Pixels or slices this many times finer or coarser than any in training are another kind of scan. Slices are
resampled before the network sees them, so other hospitals' scans must pass: M&Ms (pixels of 0.68 to 1.8 mm, slices
5 to 13 mm apart) after training on ACDC (0.70 to 1.92 mm, 5 to 10 mm), and each half of ACDC after training on the
other (at 1.5, halves without fine pixels refuse the two patients with 0.70 and 0.83 mm)."""
ROUNDING = 1.01
"""Slack for voxel sizes that a file stores as 4.9999."""
FIELD_MM = (100.0, 600.0)
"""Side of a slice: a heart with its surroundings is above 100 mm, no magnet's bore shows more than 600 mm."""
MIN_PIXELS = 32
"""A slice with fewer rows or columns shows no heart, or is not a slice."""
MAX_LABELS = 8
"""An image has hundreds of grey levels; a label map of the heart has about four."""

LARGE = 2**24
"""Voxels; a large short-axis stack has half as many."""
SAMPLE = 2**16
"""Pixels looked at when counting grey levels."""
AXES = ("Z", "Y", "X")
FORCE = "or pass --force (force=True in Python) if you know better."
WORDS = {
    "axis": "{axis} ({samples} samples, {spacing:.3g} mm apart)",
    "two-slice-axes": "both {first} and {second} look like the slice axis, expected Z alone",
    "other-slice-axis": "the slice axis looks like {axis}, expected Z",
    "oblong-pixels": "pixels are {x:.3g} x {y:.3g} mm, expected square ones: is the third axis the slice?",
    "far-pixels": "pixels are {x:.3g} x {y:.3g} mm, expected about {expected} mm as in training",
    "far-slices": "slices are {z:.3g} mm apart, expected about {expected} mm as in training",
    "two-voxel-sizes": "its header contradicts itself: {sizes}",
    "field-of-view": "slices are {columns} x {rows} pixels, {width:.0f} x {height:.0f} mm, expected at least "
    "{pixels} pixels and {low:g} to {high:g} mm a side",
    "label-map": "it holds only the values {values} like a label map, expected grey levels",
    "not-finite": "{name} holds {count} NaN or infinite voxels.",
    "constant": "{name} is constant: every voxel is {value:g}.",
}
"""What is said of an image, as format strings; `segment.html` of a bundle fills in the same ones."""
EXPORT_AGAIN = "Export the image again."
CURES = {
    "swapped-axes": "reorder axes and voxel sizes to (X, Y, slice)",
    "spacing": "correct the voxel size in its header",
    "two-voxel-sizes": "correct the one that is wrong (forced, pixdim counts)",
    "field-of-view": "give whole slices with their true pixel size",
    "label-map": "give the image that belongs to this mask",
    **STACK_CURES,
}
_ARRAY_CURE = (
    "pass axes and voxel sizes as (slice, row, column); an array of nibabel's as array.T, spacing_mm=zooms[::-1]"
)


@dataclass(frozen=True)
class Concern:
    """One doubt about an image, as data."""

    kind: str
    """A key of `CURES`, such as "swapped-axes" or "flat-stack"."""
    message: str
    """What was got and what is expected."""


def holds_ventricle(concerns: Iterable[Concern]) -> bool:
    """Whether volumes, ejection fractions and mass may be stated of an image with these concerns."""
    return not any(concern.kind in NO_VOLUME for concern in concerns)


def check_image(
    image: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    name: str,
    expected: TrainingRange | None,
    force: bool,
    affine: np.ndarray | None = None,
) -> list[Concern]:
    """The concerns about a (Z, Y, X) image with voxels of `spacing_mm` (z, y, x), for a caller that says `force`.

    `affine` is that of the image's file, None for an array.

    Raises `DataError`, one line with all concerns, without `force`; and always for an image that is not 3D, has a
    voxel size that is not positive, is constant, or holds NaN or infinite values.
    """
    _refuse_unusable(image, spacing_mm, name)
    concerns = find_concerns(image, spacing_mm, expected=expected)
    if affine is not None and (sizes := two_voxel_sizes(spacing_mm, affine)):
        concerns.append(Concern("two-voxel-sizes", WORDS["two-voxel-sizes"].format(sizes=sizes)))
    if concerns and not force:
        raise _refusal(name, concerns, of_file=affine is not None)
    return concerns


def check_size(
    shape: Sequence[int], spacing_mm: Sequence[float], *, name: str, expected: TrainingRange | None, force: bool
) -> None:
    """Refuse a large image file (Z, Y, X) by its header alone, before it takes memory, as `check_image` would.

    Raises `DataError`. Below `LARGE` voxels nothing is said: the whole list of concerns helps a person more.
    """
    if force or math.prod(shape) <= LARGE:
        return
    sides, spacing = list(shape), [float(size) for size in spacing_mm]
    clues = _slice_axes(sides, spacing)
    concerns = [*_swapped(sides, spacing, clues), *_far_spacing(spacing, expected), *_field_of_view(sides, spacing)]
    if concerns:
        raise _refusal(name, concerns, of_file=True)


def _refusal(name: str, concerns: Sequence[Concern], *, of_file: bool) -> DataError:
    message = f"{name}: {'; '.join(concern.message for concern in concerns)}."
    cures = CURES if of_file else {**CURES, "swapped-axes": _ARRAY_CURE}
    cure = "; ".join([*(cures[concern.kind] for concern in concerns), FORCE])
    return DataError(message, cure=cure[0].upper() + cure[1:])


def find_concerns(image: np.ndarray, spacing_mm: Sequence[float], *, expected: TrainingRange | None) -> list[Concern]:
    """Doubts about a finite (Z, Y, X) image; without an `expected` range only those that need none.

    When another axis looks like the slice axis, the other checks see the image as if it were reordered (or are left
    out when it is not clear how), so that one fault gives one concern.
    """
    shape, spacing = list(image.shape), [float(size) for size in spacing_mm]
    clues = _slice_axes(shape, spacing)
    concerns = list(_swapped(shape, spacing, clues))
    if len(clues) == 1:
        shape.insert(0, shape.pop(clues[0]))
        spacing.insert(0, spacing.pop(clues[0]))
        image = np.moveaxis(image, clues[0], 0)
    if len(clues) < 2:
        concerns += _far_spacing(spacing, expected)
        concerns += _field_of_view(shape, spacing)
        concerns += [Concern(*doubt) for doubt in stack_doubts(image, spacing[0], expected)]
    concerns += _few_values(image)
    return concerns


def _refuse_unusable(image: np.ndarray, spacing_mm: Sequence[float], name: str) -> None:
    if image.ndim != 3 or not image.size or image.dtype.kind not in "fiu":
        raise DataError(
            f"{name} has shape {image.shape} and dtype {image.dtype}; expected plain numbers, 3D (slice, row, column)."
        )
    check_spacing(spacing_mm, name)
    low, high = float(image.min()), float(image.max())  # NaN and infinity come through both
    if not np.isfinite([low, high]).all():
        count = int(np.count_nonzero(~np.isfinite(image)))
        raise DataError(WORDS["not-finite"].format(name=name, count=count), cure=EXPORT_AGAIN)
    if low == high:
        raise DataError(WORDS["constant"].format(name=name, value=low), cure=EXPORT_AGAIN)


def _swapped(shape: list[int], spacing: list[float], clues: list[int]) -> Iterable[Concern]:
    named = [WORDS["axis"].format(axis=AXES[axis], samples=shape[axis], spacing=spacing[axis]) for axis in clues]
    y, x = spacing[1:]
    if len(clues) == 2:
        yield Concern("swapped-axes", WORDS["two-slice-axes"].format(first=named[0], second=named[1]))
    elif any(clues):
        yield Concern("swapped-axes", WORDS["other-slice-axis"].format(axis=named[0]))
    elif max(y, x) > CLEARLY * min(y, x):
        yield Concern("swapped-axes", WORDS["oblong-pixels"].format(x=x, y=y))


def _slice_axes(shape: list[int], spacing: list[float]) -> list[int]:
    """The axes that look like the slice axis: none, one, or two when spacing and samples contradict each other."""
    return sorted({axis for axis in (_coarse_axis(spacing), _short_axis(shape)) if axis is not None})


def _coarse_axis(spacing: list[float]) -> int | None:
    """The one axis with clearly coarser spacing than both others."""
    axis = int(np.argmax(spacing))
    return axis if all(spacing[axis] > CLEARLY * spacing[other] for other in range(3) if other != axis) else None


def _short_axis(shape: list[int]) -> int | None:
    """The one axis with as few samples as a stack has slices, and less than half of either other."""
    axis = int(np.argmin(shape))
    few = all(2 * shape[axis] < shape[other] for other in range(3) if other != axis)
    return axis if few and shape[axis] <= MAX_SLICES else None


def _far_spacing(spacing: list[float], expected: TrainingRange | None) -> Iterable[Concern]:
    if expected is None:
        return
    z, y, x = spacing
    parts = []
    if not (_near(y, expected.pixel_mm, FAR) and _near(x, expected.pixel_mm, FAR)):
        parts.append(WORDS["far-pixels"].format(x=x, y=y, expected=_shown(expected.pixel_mm)))
    if not _near(z, expected.slice_mm, FAR):
        parts.append(WORDS["far-slices"].format(z=z, expected=_shown(expected.slice_mm)))
    if parts:
        yield Concern("spacing", " and ".join(parts))


def _near(value: float, limits: tuple[float, float], factor: float) -> bool:
    slack = factor * ROUNDING
    return limits[0] / slack <= value <= limits[1] * slack


def _shown(limits: tuple[float, float]) -> str:
    return " to ".join(dict.fromkeys(f"{limit:.3g}" for limit in limits))


def _field_of_view(shape: list[int], spacing: list[float]) -> Iterable[Concern]:
    (rows, columns), (y, x) = shape[1:], spacing[1:]
    sides, (low, high) = (rows * y, columns * x), FIELD_MM
    if min(rows, columns) < MIN_PIXELS or min(sides) < low or max(sides) > high:
        told = {"columns": columns, "rows": rows, "width": sides[1], "height": sides[0]}
        words = WORDS["field-of-view"].format(**told, pixels=MIN_PIXELS, low=low, high=high)
        yield Concern("field-of-view", words)


def _few_values(image: np.ndarray) -> Iterable[Concern]:
    step = max(1, round((image.size / SAMPLE) ** 0.5))
    if len(np.unique(image[:, ::step, ::step])) > MAX_LABELS:
        return
    values = np.unique(image)  # the whole volume only when the sample looks like labels
    if len(values) <= MAX_LABELS:
        shown = ", ".join(f"{value:g}" for value in values)
        yield Concern("label-map", WORDS["label-map"].format(values=shown))
