"""From a native volume to the tiles that a network of nnU-Net's sees, and from their logits to labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress.data.nnunet.intensity import normalise
from compress.data.nnunet.nonzero import filled, nonzero_box
from compress.data.nnunet.resample import new_shape, plane_axis, resample_image, resample_logits
from compress.data.nnunet.settings import Settings
from compress.data.nnunet.tiles import corners, mean_of_folds, merge, padding
from compress.errors import DataError

Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class TiledGeometry:
    """What happened to the grid on the way to the tiles, to undo it. All but `native` after the transposition."""

    rules: Settings
    native: Sizes
    """(Z, Y, X) of the volume as it came."""
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """(first, behind the last) of the nonzero box along each axis."""
    resampled: Sizes
    nearest: int | None
    """The axis across whose planes the nearest one is taken; None: planes are those of the first axis, or none are."""

    @property
    def cropped(self) -> Sizes:
        z, y, x = (stop - start for start, stop in self.box)
        return z, y, x

    @property
    def pads(self) -> list[tuple[int, int]]:
        """Zeros around each slice."""
        return padding(self.resampled[1:], self.rules.size)

    @property
    def padded(self) -> tuple[int, int]:
        rows, columns = (n + sum(pad) for n, pad in zip(self.resampled[1:], self.pads, strict=True))
        return rows, columns

    @property
    def corners(self) -> list[tuple[int, ...]]:
        """The first pixel of every tile of a slice."""
        return corners(self.padded, self.rules.size)

    @property
    def tiles(self) -> int:
        """Tiles of one slice."""
        return len(self.corners)

    def cut(self, slices: np.ndarray) -> np.ndarray:
        """(Z, ..., rows, columns) on the resampled grid -> its tiles (Z * tiles, ..., H, W), slice by slice."""
        pads = [(0, 0)] * (slices.ndim - 2) + self.pads
        whole = np.pad(slices, pads) if any(map(sum, pads)) else slices
        height, width = self.rules.size
        found = [whole[..., y : y + height, x : x + width] for y, x in self.corners]
        return np.ascontiguousarray(np.stack(found, axis=1)).reshape(-1, *slices.shape[1:-2], height, width)

    def labels(self, logits: np.ndarray) -> np.ndarray:
        """Labels (slices, rows, columns) in the box on the native grid, from the logits of whole slices' tiles."""
        rules, count = self.rules, self.tiles
        wanted = (rules.heads * rules.folds, *rules.size)
        if logits.ndim != 4 or logits.shape[1:] != wanted or len(logits) % count:
            raise DataError(f"Logits have shape {logits.shape}; (slices x {count}, {wanted}) is needed.")
        return np.stack([self._slice(logits[i : i + count]) for i in range(0, len(logits), count)])

    def _slice(self, tiles: np.ndarray) -> np.ndarray:
        """Labels (rows, columns) of one slice."""
        (top, _), (left, _) = self.pads
        inner = (slice(None), slice(top, top + self.resampled[1]), slice(left, left + self.resampled[2]))
        folds = np.split(tiles, self.rules.folds, axis=1)
        each = [merge(iter(fold), self.corners, self.padded)[inner] for fold in folds]
        # A plane's own axes are resampled linearly, the one across planes by the nearest.
        across = None if self.nearest in (None, 0) else self.nearest - 1
        return self.rules.decide(resample_logits(mean_of_folds(each), self.cropped[1:], across))

    def numbers(self) -> np.ndarray:
        """What of it does not follow from the rules, for storage."""
        return np.array(
            [
                self.native,
                *zip(*self.box, strict=True),
                self.resampled,
                (-1 if self.nearest is None else self.nearest, 0, 0),
            ]
        )

    def place(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the box (Z, rows, columns) on the whole native grid, with background around."""
        whole = np.zeros([self.native[axis] for axis in self.rules.transpose], np.uint8)
        whole[tuple(slice(*span) for span in self.box)] = labels
        return self.rules.keep_largest(np.ascontiguousarray(whole.transpose(np.argsort(self.rules.transpose))))


def prepare(
    image: np.ndarray, mask: np.ndarray | None, spacing_mm: tuple[float, float, float], rules: Settings, name: str
) -> tuple[np.ndarray, np.ndarray | None, TiledGeometry]:
    """The tiles of an image ((C,) Z, Y, X), (N, (C,) H, W) float32, those of its mask, and the geometry.

    One channel has no axis of its own. Raises `DataError` for another number of channels than the network's.
    """
    channels = (image if image.ndim == 4 else image[None]).astype(np.float32)  # a copy: normalised in place
    if len(channels) != len(rules.channels):
        named = ", ".join(channel.name for channel in rules.channels)
        raise DataError(f"{name} has {len(channels)} channel(s); the network wants {len(rules.channels)}: {named}.")
    turned = channels.transpose(0, *(axis + 1 for axis in rules.transpose))
    box = nonzero_box(turned)
    whole_box = (slice(None), *box)
    spans = tuple((each.start, each.stop) for each in box)
    geometry = geometry_of(image.shape[-3:], spacing_mm, rules, spans)  # pyright: ignore[reportArgumentType]
    cropped = turned[whole_box]
    region = _Region(cropped.copy() if any(c.masked for c in rules.channels) else cropped)
    axis = geometry.nearest
    slices = np.empty((geometry.resampled[0], len(channels), *geometry.resampled[1:]), np.float32)
    for index, channel in enumerate(rules.channels):
        slices[:, index] = resample_image(normalise(cropped[index], channel, region), geometry.resampled, axis)
    tiles = geometry.cut(slices)
    masks = None if mask is None else geometry.cut(_mask_slices(mask.transpose(rules.transpose)[box], geometry))
    return (tiles[:, 0] if len(channels) == 1 else tiles), masks, geometry


def geometry_of(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    rules: Settings,
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None,
) -> TiledGeometry:
    """The grid that a volume of `shape` and `spacing_mm` (z, y, x) passes through; box None: nothing is cropped."""
    turned = [shape[axis] for axis in rules.transpose]
    spacing = [spacing_mm[axis] for axis in rules.transpose]
    target = [spacing[0], *rules.spacing_mm]
    box = box or ((0, turned[0]), (0, turned[1]), (0, turned[2]))
    resampled = new_shape([stop - start for start, stop in box], spacing, target)
    return TiledGeometry(rules, (shape[0], shape[1], shape[2]), box, resampled, plane_axis(spacing, target))


class _Region:
    """The nonzero region, computed when a channel first asks for it."""

    def __init__(self, channels: np.ndarray) -> None:
        self.channels = channels
        self.found: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        if self.found is None:
            self.found = filled(self.channels)
        return self.found


def _mask_slices(mask: np.ndarray, geometry: TiledGeometry) -> np.ndarray:
    """(Z, rows, columns) uint8: each label's indicator interpolated linearly, the largest wins."""
    classes = int(mask.max()) + 1
    shares = (np.stack([labels == c for c in range(classes)]).astype(np.float16) for labels in mask)
    return np.stack([resample_logits(s, geometry.resampled[1:], None).argmax(0).astype(np.uint8) for s in shares])
