"""The nonzero region of an image: the box around it, and the region itself with its holes filled."""

from __future__ import annotations

import numpy as np

Box = tuple[slice, slice, slice]


def nonzero_box(image: np.ndarray) -> Box:
    """The smallest box around what of image (C, Z, Y, X) is nonzero in any channel; all of an empty image."""
    nonzero = (image != 0).any(axis=0)
    spans = []
    for axis in range(3):
        found = np.flatnonzero(nonzero.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, nonzero.shape[axis]))
    return spans[0], spans[1], spans[2]


def filled(image: np.ndarray) -> np.ndarray:
    """(Z, Y, X) bool: what is nonzero in any channel of (C, Z, Y, X), and what it encloses on all sides.

    Equal to `scipy.ndimage.binary_fill_holes`: background reaches the border over faces. It spreads along whole lines
    of the grid at a time.
    """
    background = np.pad(~(image != 0).any(axis=0), 1, constant_values=True)
    outside = np.zeros_like(background)
    outside[0], outside[-1] = True, True
    outside[:, 0], outside[:, -1], outside[:, :, 0], outside[:, :, -1] = True, True, True, True
    count = -1
    while count != (count := int(outside.sum())):
        for axis in range(3):
            for step in (1, -1):
                _spread(outside, background, axis, step)
    return ~outside[1:-1, 1:-1, 1:-1]


def _spread(outside: np.ndarray, background: np.ndarray, axis: int, step: int) -> None:
    """Let `outside` flow through the background along one axis in one direction, in place."""
    flow, open_ = (np.moveaxis(each, axis, 0)[::step] for each in (outside, background))
    for i in range(1, len(flow)):
        flow[i] |= flow[i - 1] & open_[i]
