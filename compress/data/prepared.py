"""`Prepared`: a volume as the network sees it, whatever rules made it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Way(Protocol):
    """What one forward pass did to the grid, and the way back."""

    @property
    def tiles(self) -> int:
        """Images that the network sees of one slice."""
        ...

    def labels(self, logits: np.ndarray) -> np.ndarray:
        """Labels (slices, rows, columns) uint8 from the logits (N, C, H, W) of whole slices; `DataError` for others."""
        ...

    def place(self, labels: np.ndarray) -> np.ndarray:
        """All slices' labels on the native grid (Z, Y, X)."""
        ...

    def numbers(self) -> np.ndarray:
        """What of it does not follow from the rules, for storage."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A volume on the network's grid."""

    images: np.ndarray
    """(N, H, W) float32, clipped and z-scored: every slice, or in nnU-Net's way the tiles of every slice. Several
    channels are (N, C, H, W)."""
    mask: np.ndarray | None
    """(N, H, W) uint8, or None without a reference."""
    geometry: Way


def with_channels(images: np.ndarray) -> np.ndarray:
    """Prepared images (N, H, W) of one channel as (N, 1, H, W); those that have channels as they are."""
    return images if images.ndim == 4 else images[:, None]
