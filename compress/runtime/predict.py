"""From a prepared volume to a mask on its native grid, whatever computes the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from compress.data.pieces import drop_small
from compress.data.preprocess import Prepared, inverse
from compress.errors import DataError

Run = Callable[[np.ndarray], np.ndarray]
"""images (N, 1, H, W) float32 -> logits (N, C, H, W) float32."""


Shares = Mapping[int, float]
"""Label value -> share of its largest piece; smaller pieces become background (see `compress.data.pieces`)."""
KEEP_ALL: Shares = MappingProxyType({})


def predict_mask(run: Run, prepared: Prepared, *, batch_size: int, pieces: Shares = KEEP_ALL) -> np.ndarray:
    """Labels (Z, Y, X) uint8 on the native grid; only one batch of logits is held at a time.

    Raises `DataError` when logits are not finite.
    """
    images, geometry = prepared.images, prepared.geometry
    labels = np.empty((len(images), *geometry.native), np.uint8)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        logits = run(images[part, None])
        if not np.isfinite(logits).all():
            raise DataError(
                "The network returned values that are not finite.", cure="Its weights or the image are broken."
            )
        labels[part] = inverse(logits, geometry)
    return drop_small(labels, pieces)
