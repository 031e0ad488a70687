"""Can these slices hold a ventricle? One slice, a few, or time in the place of slices give no volume."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from compress.runtime.card import TrainingRange

MIN_SLICES = 4
"""ACDC's smallest stacks have 6 slices; three (base, middle, apex) are how T1 maps and tagging are taken."""
HEIGHT_MM = (30.0, 200.0)
"""Slices times their distance: 50 to 110 mm in ACDC. A newborn's left ventricle is about 30 mm long; 30 frames taken
for slices 8 mm apart would be 240 mm."""
MAX_SLICES = 60
"""ACDC's stacks have at most 18 slices and are at most 110 mm tall, where 60 slices would be 2 mm apart."""
SLICES_FACTOR = 3
"""A network trained on taller stacks takes up to this many times its largest."""
CINE_FRAMES = 12
"""A cine has at least as many frames; fewer slices that look alike may be a toy, or a tube."""
ALIKE = 0.6
"""Correlation of two slices of (Y, X) grey levels above which they show one place. First and last slices of ACDC's 200
stacks come to 0.42 at most; ED and ES of one slice, which differ more than any other frames, to 0.69 at least."""

ROUNDING = 1.001
"""Slack for distances that a file stores as 7.4999."""

FLAT, TIME, MANY = "flat-stack", "time-as-slices", "slices"
CURES = {
    FLAT: "give the whole short-axis stack, its slices joined into one file where they were saved one by one",
    TIME: "give time as the fourth axis, (X, Y, slice, frame), of a whole short-axis stack",
    MANY: "give one short-axis stack",
}
"""What can be wrong with a stack, and what to do about it."""
WORDS = {
    "counted": "it has {slices} slice{s}, {height:.3g} mm tall",
    "single": "a long-axis or single-slice cine",
    "part": "a part of a stack",
    "flat": "{counted}, like {what}; a ventricle needs at least {fewest} slices and {low:g} mm",
    "tall": "{counted}, like time in the place of slices; a short-axis stack is at most {high:g} mm tall",
    "many": "it has {slices} slices, expected a short-axis stack of at most {limit}",
    "alike": "all its {slices} slices look alike, like time in the place of slices",
}
"""What is said of it, as format strings; `segment.html` of a bundle fills in the same ones."""
NO_VOLUME = (FLAT, TIME)
"""From such slices no volume, ejection fraction or mass is stated, whoever insists."""


def stack_doubts(image: np.ndarray, slice_mm: float, expected: TrainingRange | None) -> Iterable[tuple[str, str]]:
    """(kind, message) of what is odd about the slices of an image (Z, Y, X) that lie `slice_mm` apart."""
    slices, height, (low, high) = len(image), len(image) * slice_mm, HEIGHT_MM
    counted = WORDS["counted"].format(slices=slices, s="s" if slices > 1 else "", height=height)
    limit = MAX_SLICES if expected is None else max(MAX_SLICES, SLICES_FACTOR * expected.slices[1])
    if slices < fewest_slices(slice_mm * ROUNDING):
        what = WORDS["single" if slices == 1 else "part"]
        yield FLAT, WORDS["flat"].format(counted=counted, what=what, fewest=MIN_SLICES, low=low)
    elif height > high:
        yield TIME, WORDS["tall"].format(counted=counted, high=high)
    elif slices > limit:
        yield MANY, WORDS["many"].format(slices=slices, limit=limit)
    elif slices >= CINE_FRAMES and _one_place(image):
        yield TIME, WORDS["alike"].format(slices=slices)


def fewest_slices(slice_mm: float) -> int:
    """Slices `slice_mm` apart that a stack needs at least."""
    return max(MIN_SLICES, math.ceil(HEIGHT_MM[0] / slice_mm))


def _one_place(image: np.ndarray) -> bool:
    first, *others = (image[index] for index in (0, len(image) // 2, -1))
    return all(_correlation(first, other) > ALIKE for other in others)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's of two slices (Y, X); 0 where one is constant."""
    a, b = (slice_ - slice_.mean(dtype=np.float64) for slice_ in (first, second))
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0
