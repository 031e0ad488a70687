"""Which way a slice looks at the heart, by its orientation in the patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

HEART_AXIS = (0.65, -0.67, -0.37)
"""From the base of the left ventricle to its apex: to the left, to the front, to the feet (DICOM's coordinates). The
two Sunnybrook patients' stacks lie 3 degrees from it."""

SHORT_AXIS = 40.0
"""A stack across the heart is within this many degrees of `HEART_AXIS`; coronal and sagittal stacks are 47 and 49
away, transverse ones 68, long-axis views about 90."""

RIGHTWARDS = np.array([0.7, 0.7, 0.0])
DOWNWARDS = np.array([0.0, 0.0, -1.0])
"""How a short-axis slice is shown: from the feet, its right side to the patient's left and back, its lower to the feet.
This is how ACDC stores its images: the RV lies on the left in all 100 training patients."""

LONG_AXIS = 60.0
BODY = 3.0
"""Slices that lie this straight along the body are a planning scan's."""


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    """The unit vector (3,) across a slice, from the directions of its rows and columns (6)."""
    across = np.cross(orientation[:3], orientation[3:])
    return across / np.linalg.norm(across)


def angle_to_heart(orientation: Sequence[float]) -> float:
    """Degrees from 0 to 90 between the direction across a slice and the axis of the heart."""
    axis = np.asarray(HEART_AXIS) / np.linalg.norm(HEART_AXIS)
    return math.degrees(math.acos(min(1.0, abs(float(normal_of(orientation) @ axis)))))


def is_short_axis(orientation: Sequence[float]) -> bool:
    """Whether a slice lies across the heart."""
    return angle_to_heart(orientation) <= SHORT_AXIS


@dataclass(frozen=True)
class Turn:
    """By which quarter turns and mirrorings a slice is shown as people are used to: head up, patient's right left.

    Scanners store slices turned as they were planned, and networks learn from images that stand upright.
    """

    swap: bool
    """Rows and columns change places, first of all."""
    flip_rows: bool
    flip_columns: bool

    def forward(self, stored: np.ndarray) -> np.ndarray:
        """A slice (Y, X) as stored -> upright."""
        turned = stored.T if self.swap else stored
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def back(self, upright: np.ndarray) -> np.ndarray:
        """The inverse of `forward`."""
        turned = upright[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return turned.T if self.swap else turned

    def indices(self, shape: tuple[int, int]) -> np.ndarray:
        """(4, 4): voxel (column, row, slice) of the upright stack -> that of the stored one, its slices `shape`."""
        rows, columns = shape[::-1] if self.swap else shape
        flips = np.diag([-1.0 if self.flip_columns else 1.0, -1.0 if self.flip_rows else 1.0, 1.0, 1.0])
        flips[:2, 3] = (columns - 1) * self.flip_columns, (rows - 1) * self.flip_rows
        swap = np.eye(4)[[1, 0, 2, 3]] if self.swap else np.eye(4)
        return swap @ flips


def upright(orientation: Sequence[float]) -> Turn:
    """The turn that brings columns closest to the patient's feet and rows closest to the left and back."""
    directions = np.reshape(orientation, (2, 3))

    def fit(turn: Turn) -> float:
        x, y = directions[::-1] if turn.swap else directions
        return float((-x if turn.flip_columns else x) @ RIGHTWARDS + (-y if turn.flip_rows else y) @ DOWNWARDS)

    return max((Turn(*flags) for flags in product((False, True), repeat=3)), key=fit)


def describe_view(orientation: Sequence[float]) -> str:
    """The view in words, such as "long axis (88 degrees off the short axis)"."""
    angle = angle_to_heart(orientation)
    if angle <= SHORT_AXIS:
        return "short axis"
    straight = math.degrees(math.acos(min(1.0, float(np.abs(normal_of(orientation)).max()))))
    body = ("sagittal", "coronal", "transverse")[int(np.abs(normal_of(orientation)).argmax())]
    name = body if straight <= BODY else "long axis" if angle >= LONG_AXIS else "oblique"
    return f"{name} ({angle:.0f} degrees off the short axis)"
