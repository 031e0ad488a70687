"""From a volume on the network's grid to a mask on its native grid, whatever computes the logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compress.data.prepared import Prepared, with_channels
from compress.data.preprocess import CENTRED, Geometry, Shift
from compress.data.tidy import AS_FOUND, Tidy
from compress.data.window import cut_slices, onto
from compress.errors import DataError

Run = Callable[[np.ndarray], np.ndarray]
"""images (N, channels, H, W) float32 -> logits (N, C, H, W) float32."""
Look = Callable[[Shift], Prepared]
"""The volume through the network's window, moved so far from the slice's centre (`Preprocessing.forward`)."""


@dataclass(frozen=True)
class Found:
    """A mask, and where the network looked for it."""

    mask: np.ndarray
    """(Z, Y, X) uint8 on the native grid."""
    moves: tuple[Shift, ...]
    """Where the window was moved to, time after time, in pixels of the network's grid; empty: it stayed centred."""
    cut: tuple[int, ...]
    """Slices, from 0, in which the heart still reaches an edge of the window behind which the slice goes on."""


def find(run: Run, look: Look, *, recentre: int, batch_size: int, tidy: Tidy = AS_FOUND) -> Found:
    """Segment a volume; where the window cuts what is found, move it there and look again, `recentre` times at most.

    Only the logits of one batch, or of one slice, are held at a time. Raises `DataError` when logits are not finite.
    """
    moves: list[Shift] = []
    while True:
        prepared = look(moves[-1] if moves else CENTRED)
        native, grid = _segment(run, prepared, batch_size)
        geometry = prepared.geometry
        cut = cut_slices(grid, geometry) if grid is not None and isinstance(geometry, Geometry) else ()
        moved = onto(grid, geometry) if cut and grid is not None and isinstance(geometry, Geometry) else CENTRED
        if not cut or len(moves) == recentre or moved == (moves[-1] if moves else CENTRED):
            return Found(tidy(native), tuple(moves), cut)
        moves.append(moved)


def predict_mask(run: Run, prepared: Prepared, *, batch_size: int, tidy: Tidy = AS_FOUND) -> np.ndarray:
    """Labels (Z, Y, X) uint8 on the native grid from one look through the window; raises as `find`."""
    return find(run, lambda _: prepared, recentre=0, batch_size=batch_size, tidy=tidy).mask


def _segment(run: Run, prepared: Prepared, batch_size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels on the native grid (Z, Y, X) and, where one window holds a slice, on the network's (Z, H, W)."""
    images, geometry = with_channels(prepared.images), prepared.geometry
    step = max(1, batch_size // geometry.tiles) * geometry.tiles  # whole slices
    native, grid = [], []
    for start in range(0, len(images), step):
        tiles = images[start : start + step]
        logits = np.concatenate([run(tiles[i : i + batch_size]) for i in range(0, len(tiles), batch_size)])
        if not np.isfinite(logits).all():
            raise DataError(
                "The network returned values that are not finite.", cure="Its weights or the image is broken."
            )
        native.append(geometry.labels(logits))
        if isinstance(geometry, Geometry):
            grid.append(logits.argmax(1).astype(np.uint8))
    return geometry.place(np.concatenate(native)), np.concatenate(grid) if grid else None
