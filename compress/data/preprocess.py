"""From a native volume to network slices and back, in numpy alone.

Training, evaluation and benchmark all go through this one module, so they cannot drift apart.
Forward: resample every slice to the target spacing, take the window (centred, or moved as `compress.data.window` says),
clip the intensities to robust percentiles, z-score. Inverse: the same geometry backwards, exactly to the native grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from compress.data.prepared import Prepared
from compress.data.resample import cubic, linear
from compress.data.volume import Volume
from compress.errors import CheckpointError, DataError

_RECENTRE = "recentre"
Shift = tuple[int, int]
CENTRED: Shift = (0, 0)


@dataclass(frozen=True)
class Geometry:
    """What one forward pass did to the grid: enough to undo it."""

    native: tuple[int, int]
    """(rows, columns) of the volume's slices."""
    resampled: tuple[int, int]
    """(rows, columns) after resampling, before the window."""
    window: tuple[int, int]
    """(rows, columns) of the network's slices."""
    moved: Shift = CENTRED
    """(rows, columns) by which the window lies off the slice's centre, in pixels of the target spacing."""

    def slices(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Matching regions ((rows, columns) of the resampled slice, of the window)."""
        pairs = [_overlap(*sizes) for sizes in zip(self.resampled, self.window, self.moved, strict=True)]
        return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])

    @property
    def tiles(self) -> int:
        """Images that the network sees of one slice."""
        return 1

    def labels(self, logits: np.ndarray) -> np.ndarray:
        """Labels (slices, rows, columns) from the logits of whole slices; see `inverse`."""
        return inverse(logits, self)

    def numbers(self) -> np.ndarray:
        """What of it does not follow from the rules, for storage."""
        return np.array([self.native, self.resampled])

    def place(self, labels: np.ndarray) -> np.ndarray:
        """All slices' labels on the native grid, where they are already."""
        return labels


@dataclass(frozen=True)
class Preprocessing:
    """The rules, as they travel with every checkpoint and ONNX file."""

    spacing_mm: tuple[float, float] = (1.5, 1.5)
    """In-plane target spacing (row, column)."""
    size: tuple[int, int] = (160, 160)
    """Window (rows, columns) in pixels of the target spacing."""
    clip_percentiles: tuple[float, float] = (0.5, 99.5)
    recentre: int = 0
    """How often the window is moved onto what was found when that reaches its edge (see `compress.data.window`)."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; "recentre" is left out where it is 0, as in files of before it existed."""
        rules = {key: list(value) for key, value in asdict(self).items() if key != _RECENTRE}
        return {**rules, _RECENTRE: self.recentre} if self.recentre else rules

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`; `CheckpointError` when keys are missing or unknown."""
        try:
            if missing := {f.name for f in fields(cls)} - {_RECENTRE} - value.keys():
                raise TypeError(f"{', '.join(sorted(missing))} missing")
            if type(times := value.get(_RECENTRE, 0)) is not int:
                raise TypeError(f"{_RECENTRE} is {times!r}")
            return cls(**{k: tuple(item) for k, item in value.items() if k != _RECENTRE}, recentre=times)
        except (TypeError, AttributeError) as fault:
            raise CheckpointError(f"Preprocessing rules are damaged: {fault}.") from fault

    def resampled(self, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> tuple[int, int]:
        """(rows, columns) of the resampled slices of a volume of `shape` and `spacing_mm` (z, y, x)."""
        return self.geometry((shape[1], shape[2]), spacing_mm[1:]).resampled

    def geometry(self, shape: tuple[int, int], spacing_mm: tuple[float, float], moved: Shift = CENTRED) -> Geometry:
        """The grid that a slice of `shape` and `spacing_mm` (row, column) passes through."""
        pairs = zip(shape, spacing_mm, self.spacing_mm, strict=True)
        resampled = [max(1, round(n * have / want)) for n, have, want in pairs]
        return Geometry((shape[0], shape[1]), (resampled[0], resampled[1]), self.size, moved)

    def geometry_of_numbers(self, numbers: np.ndarray) -> Geometry:
        """The inverse of `Geometry.numbers` of a centred window; `ValueError` for others."""
        native, resampled = (tuple(int(n) for n in row) for row in numbers)
        return Geometry(native, resampled, self.size)  # pyright: ignore[reportArgumentType]

    def forward(self, volume: Volume, moved: Shift = CENTRED) -> Prepared:
        """Bring a volume onto the network's grid, through a window that was `moved` as `Geometry` has it.

        Each channel has percentiles, mean and deviation of its own. Raises `DataError` for an image that is constant
        there.
        """
        geometry = self.geometry(volume.image.shape[-2:], volume.spacing[1:], moved)
        mask = None if volume.mask is None else _forward_mask(volume.mask, geometry)
        if volume.image.ndim == 3:
            return Prepared(self._channel(volume.image, geometry, volume.case.name), mask, geometry)
        channels = [self._channel(image, geometry, volume.case.name) for image in volume.image]
        return Prepared(np.stack(channels, axis=1), mask, geometry)

    def _channel(self, image: np.ndarray, geometry: Geometry, name: str) -> np.ndarray:
        """(Z, Y, X) -> (N, H, W)."""
        source, window = geometry.slices()
        cropped = self._normalise(cubic(image, geometry.resampled, source), name)
        images = np.full((len(cropped), *self.size), cropped.min(), np.float32)
        images[(slice(None), *window)] = cropped
        return images

    def _normalise(self, images: np.ndarray, name: str) -> np.ndarray:
        low, high = np.percentile(images, self.clip_percentiles)
        clipped = np.clip(images, low, high)
        deviation = float(clipped.std())
        if not deviation > 0:
            raise DataError(f"{name}: the image is constant inside the window of {self.size} pixels.")
        return ((clipped - clipped.mean()) / deviation).astype(np.float32)


def inverse(logits: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Labels (Z, Y, X) uint8 on the native grid from logits (Z, C, H, W) on the network's grid.

    Probabilities are interpolated linearly and the largest wins; outside the window is background.
    """
    if logits.ndim != 4 or logits.shape[2:] != geometry.window:
        raise DataError(f"Logits have shape {logits.shape}; (slices, classes, {geometry.window}) is needed.")
    source, window = geometry.slices()
    labels = np.zeros((len(logits), *geometry.native), np.uint8)
    for index, scores in enumerate(logits):
        grid = np.zeros((len(scores), *geometry.resampled), np.float32)
        grid[0] = 1.0
        grid[(slice(None), *source)] = softmax(scores)[(slice(None), *window)]
        labels[index] = linear(grid, geometry.native).argmax(0)
    return labels


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities over the first axis of (C, H, W)."""
    exponent = np.exp(scores - scores.max(axis=0, keepdims=True))
    return exponent / exponent.sum(axis=0, keepdims=True)


def _forward_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Linear interpolation of each label's indicator; the largest wins, so contours stay smooth."""
    source, window = geometry.slices()
    classes = int(mask.max()) + 1
    result = np.zeros((len(mask), *geometry.window), np.uint8)
    for index, labels in enumerate(mask):
        shares = np.stack([labels == c for c in range(classes)])
        result[index][window] = linear(shares, geometry.resampled).argmax(0)[source]
    return result


def _overlap(have: int, want: int, moved: int) -> tuple[slice, slice]:
    """Where `have` cells and a window of `want` cells meet, `moved` from its centre, in each one's indices."""
    length = min(have, want)
    first, second = (have - length) // 2 + moved, (want - length) // 2
    return slice(first, first + length), slice(second, second + length)
