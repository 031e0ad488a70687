"""Training augmentation by MONAI: geometry, contrast, noise, blur and coil shading.

The randomness of one sample is a function of (seed, epoch, index) alone, so a resumed run draws what
the uninterrupted run would have drawn, whatever the number of workers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from monai import transforms as mt

STRENGTHS: dict[str, float] = {"none": 0.0, "light": 0.5, "strong": 1.0}


def build_augmentation(strength: float) -> mt.Compose | None:
    """A dictionary transform over {"image", "mask"} arrays (1, H, W), or None for strength 0."""
    if strength <= 0:
        return None
    s, both = strength, ["image", "mask"]
    return mt.Compose(
        [
            mt.RandAffined(
                both,
                prob=0.9,
                rotate_range=math.pi * s,  # at full strength any angle: converters store one study in different orders
                scale_range=((-0.25 * s, 0.3 * s),) * 2,
                translate_range=12 * s,
                shear_range=0.15 * s,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            mt.RandFlipd(both, prob=0.5 * s, spatial_axis=0),
            mt.RandFlipd(both, prob=0.5 * s, spatial_axis=1),
            mt.RandAdjustContrastd("image", prob=0.4 * s, gamma=(0.6, 1.6)),
            mt.RandScaleIntensityd("image", prob=0.4 * s, factors=0.3 * s),
            mt.RandShiftIntensityd("image", prob=0.4 * s, offsets=0.3 * s),
            mt.RandBiasFieldd("image", prob=0.2 * s, degree=2, coeff_range=(-0.3 * s, 0.3 * s)),
            mt.RandGaussianSmoothd("image", prob=0.2 * s, sigma_x=(0.4, 1.2), sigma_y=(0.4, 1.2)),
            mt.RandGaussianNoised("image", prob=0.3 * s, std=0.15 * s),
        ]
    )


def augment(transform: mt.Compose, image: np.ndarray, mask: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Augment one slice: image (H, W) float32 and mask (H, W) uint8, with randomness from `seed`."""
    transform.set_random_state(seed=seed)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    sample = {"image": torch.from_numpy(image)[None], "mask": torch.from_numpy(mask.astype(np.float32))[None]}
    result = transform(sample)
    torch.set_rng_state(state)
    return np.asarray(result["image"][0], np.float32), np.asarray(result["mask"][0]).astype(np.uint8)  # pyright: ignore
