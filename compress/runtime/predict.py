"""From a prepared volume to a mask on its native grid, whatever computes the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from compress.data.pieces import drop_small
from compress.data.prepared import Prepared, with_channels
from compress.errors import DataError

Run = Callable[[np.ndarray], np.ndarray]
"""images (N, channels, H, W) float32 -> logits (N, C, H, W) float32."""


Shares = Mapping[int, float]
"""Label value -> share of its largest piece; smaller pieces become background (see `compress.data.pieces`)."""
KEEP_ALL: Shares = MappingProxyType({})


def predict_mask(run: Run, prepared: Prepared, *, batch_size: int, pieces: Shares = KEEP_ALL) -> np.ndarray:
    """Labels (Z, Y, X) uint8 on the native grid; only the logits of one batch, or of one slice, are held at a time.

    Raises `DataError` when logits are not finite.
    """
    images, geometry = with_channels(prepared.images), prepared.geometry
    step = max(1, batch_size // geometry.tiles) * geometry.tiles  # whole slices
    parts = []
    for start in range(0, len(images), step):
        tiles = images[start : start + step]
        logits = np.concatenate([run(tiles[i : i + batch_size]) for i in range(0, len(tiles), batch_size)])
        if not np.isfinite(logits).all():
            raise DataError(
                "The network returned values that are not finite.", cure="Its weights or the image are broken."
            )
        parts.append(geometry.labels(logits))
    return drop_small(geometry.place(np.concatenate(parts)), pieces)
