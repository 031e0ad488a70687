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
    """A dictionary transform over arrays (C, H, W), or None for strength 0.

    "image", "mask" and, where a teacher has answered, "answers" keep lying on each other; the image alone changes in
    brightness, sharpness and noise.
    """
    if strength <= 0:
        return None
    s, all_three = strength, ["image", "mask", "answers"]
    return mt.Compose(
        [
            mt.RandAffined(
                all_three,
                prob=0.9,
                rotate_range=math.pi * s,  # at full strength any angle: converters store one study in different orders
                scale_range=((-0.25 * s, 0.3 * s),) * 2,
                translate_range=12 * s,
                shear_range=0.15 * s,
                mode=("bilinear", "nearest", "bilinear"),
                padding_mode="border",
                allow_missing_keys=True,
            ),
            mt.RandFlipd(all_three, prob=0.5 * s, spatial_axis=0, allow_missing_keys=True),
            mt.RandFlipd(all_three, prob=0.5 * s, spatial_axis=1, allow_missing_keys=True),
            mt.RandAdjustContrastd("image", prob=0.4 * s, gamma=(0.6, 1.6)),
            mt.RandScaleIntensityd("image", prob=0.4 * s, factors=0.3 * s),
            mt.RandShiftIntensityd("image", prob=0.4 * s, offsets=0.3 * s),
            mt.RandBiasFieldd("image", prob=0.2 * s, degree=2, coeff_range=(-0.3 * s, 0.3 * s)),
            mt.RandGaussianSmoothd("image", prob=0.2 * s, sigma_x=(0.4, 1.2), sigma_y=(0.4, 1.2)),
            mt.RandGaussianNoised("image", prob=0.3 * s, std=0.15 * s),
        ]
    )


def augment(
    transform: mt.Compose, image: np.ndarray, mask: np.ndarray, answers: np.ndarray | None = None, *, seed: int
) -> tuple[np.ndarray, ...]:
    """Augment one slice with randomness from `seed`: what was given, in the same order.

    image (H, W) or (channels, H, W) float32; mask (H, W) uint8; answers (C, H, W) float16, a probability for each
    label.
    """
    transform.set_random_state(seed=seed)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    channels = image if image.ndim == 3 else image[None]
    sample = {"image": torch.from_numpy(channels), "mask": torch.from_numpy(mask.astype(np.float32))[None]}
    if answers is not None:
        sample["answers"] = torch.from_numpy(answers.astype(np.float32))
    result = {name: np.asarray(value) for name, value in transform(sample).items()}  # pyright: ignore
    torch.set_rng_state(state)
    seen = np.asarray(result["image"], np.float32).reshape(image.shape)
    warped = (seen, result["mask"][0].astype(np.uint8))
    return warped if answers is None else (*warped, result["answers"].astype(np.float16))
