"""Quick validation during training: 3D Dice on the network's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from compress.data.preprocess import Prepared


def predict_slices(network: nn.Module, images: np.ndarray, *, device: torch.device, batch_size: int) -> np.ndarray:
    """Logits (Z, C, H, W) float32 of slices (Z, H, W) float32, in evaluation mode and full precision."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size])[:, None].to(device)
            parts.append(network(batch.to(memory_format=torch.channels_last)).float().cpu().numpy())
    return np.concatenate(parts)


def grid_dice(
    network: nn.Module, volumes: Iterable[Prepared], labels: Mapping[str, int], *, device: torch.device, bf16: bool
) -> dict[str, float]:
    """Mean 3D Dice per structure and over all, {"mean": .., "RV": ..}, on the prepared grid.

    A guide while training: published figures are measured on the native grid by `evaluate`.
    """
    return mean_dice(volume_dice(network, volumes, labels, device=device, bf16=bf16), labels)


def volume_dice(
    network: nn.Module, volumes: Iterable[Prepared], labels: Mapping[str, int], *, device: torch.device, bf16: bool
) -> list[list[float]]:
    """3D Dice of every structure, volume by volume."""
    rows = []
    for volume in volumes:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            predicted = predict_slices(network, volume.images, device=device, batch_size=32).argmax(1)
        rows.append([_dice(predicted == v, volume.mask == v) for v in labels.values()])
    return rows


def mean_dice(rows: Sequence[Sequence[float]], labels: Mapping[str, int]) -> dict[str, float]:
    """{"mean": .., "RV": ..} of what `volume_dice` found."""
    means = np.mean(rows, axis=0)
    return {"mean": float(means.mean()), **{s: float(m) for s, m in zip(labels, means, strict=True)}}


def _dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    size = int(predicted.sum() + reference.sum())
    return 2.0 * int((predicted & reference).sum()) / size if size else 1.0
