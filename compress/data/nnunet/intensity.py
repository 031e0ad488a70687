"""nnU-Net's schemes of normalisation, each channel by its own; before resampling, over what is left after cropping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from compress.errors import DataError

_SMALLEST = 1e-8
"""No standard deviation and no range below this divides."""
INTENSITIES = ("mean", "std", "percentile_00_5", "percentile_99_5")
"""What a scheme may need of the training images' foreground."""


@dataclass(frozen=True)
class Channel:
    """One channel of the images, and how its grey levels are normalised."""

    name: str
    scheme: str = "ZScoreNormalization"
    """A key of `SCHEMES`."""
    masked: bool = False
    """Z-scores are of the nonzero region alone, and only there (nnU-Net's use_mask_for_norm)."""
    intensities: Mapping[str, float] = field(default_factory=dict)
    """`INTENSITIES` of the training images' foreground, for the scheme that needs them."""


def normalise(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    """image (Z, Y, X) float32, changed in place and returned; `inside` is asked for the nonzero region (Z, Y, X) bool.

    Raises `DataError` for grey levels that the scheme cannot take.
    """
    return SCHEMES[channel.scheme](image, channel, inside)


def _z_score(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    if channel.masked:
        region = inside()
        values = image[region]
        image[region] = (values - values.mean()) / max(values.std(), _SMALLEST)
        return image
    mean, deviation = image.mean(), image.std()
    image -= mean
    image /= max(deviation, _SMALLEST)
    return image


def _ct(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    known = channel.intensities
    np.clip(image, known["percentile_00_5"], known["percentile_99_5"], out=image)
    image -= known["mean"]
    image /= max(known["std"], _SMALLEST)
    return image


def _none(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    return image


def _range(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    image -= image.min()
    image /= np.clip(image.max(), _SMALLEST, None)
    return image


def _rgb(image: np.ndarray, channel: Channel, inside: Callable[[], np.ndarray]) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255:
        raise DataError(
            f"Channel {channel.name} holds values from {low:g} to {high:g}; the network wants colours, 0 to 255."
        )
    image /= 255.0
    return image


SCHEMES: dict[str, Callable[[np.ndarray, Channel, Callable[[], np.ndarray]], np.ndarray]] = {
    "ZScoreNormalization": _z_score,
    "CTNormalization": _ct,
    "NoNormalization": _none,
    "RescaleTo01Normalization": _range,
    "RGBTo01Normalization": _rgb,
}
"""nnU-Net's names."""
NEEDS_INTENSITIES = frozenset({"CTNormalization"})
