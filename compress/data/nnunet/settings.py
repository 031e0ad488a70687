"""What nnU-Net's plans say of a 2D configuration, as far as it decides a mask, and how its heads become labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.data.nnunet.intensity import Channel
from compress.data.pieces import label_pieces


@dataclass(frozen=True)
class Settings:
    """Pure data, checked where it is read (`compress.data.nnunet.rules`)."""

    spacing_mm: tuple[float, float]
    """Target spacing within a slice (row, column), after the transposition."""
    size: tuple[int, int]
    """The patch: every tile has this size, and no image is computed at another."""
    channels: tuple[Channel, ...]
    heads: int
    """Channels of one network's logits: classes with background, or regions."""
    region_values: tuple[int, ...] = ()
    """Region-based networks: the value that each head paints, in order; empty: the largest logit wins."""
    region_names: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Region -> the values of the mask that it is made of."""
    transpose: tuple[int, int, int] = (0, 1, 2)
    """Which native axis (z, y, x) comes first, second and third."""
    mirror_axes: tuple[int, ...] = ()
    """Along which axes of a slice (0 rows, 1 columns) test-time mirroring is allowed: the checkpoint says so."""
    folds: int = 1
    """Networks whose logits the file gives one after another; their mean counts."""
    largest_of: tuple[tuple[int, ...], ...] = ()
    """Sets of label values of which, taken together, only the largest piece stays (nnU-Net's postprocessing)."""

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """Labels (rows, columns) uint8 from logits (heads, rows, columns) float16; ties go to the first."""
        if not self.region_values:
            return logits.argmax(0).astype(np.uint8)
        labels = np.zeros(logits.shape[1:], np.uint8)
        with np.errstate(over="ignore"):
            chances = 1 / (1 + np.exp(-logits.astype(np.float32)))
        for value, chance in zip(self.region_values, chances, strict=True):
            labels[chance > 0.5] = value
        return labels

    def keep_largest(self, labels: np.ndarray) -> np.ndarray:
        """labels (Z, Y, X) without all but the largest piece of each of `largest_of`."""
        for values in self.largest_of:
            pieces = label_pieces(np.isin(labels, values))
            sizes = np.bincount(pieces.ravel())[1:]
            small = 1 + np.flatnonzero(sizes < sizes.max(initial=0))
            labels = np.where(np.isin(pieces, small), np.uint8(0), labels)
        return labels
