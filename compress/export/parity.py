"""Does the exported file compute what the network computes? Logits and masks, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.errors import InputError
from compress.export.onnx import frozen_copy
from compress.runtime.session import open_session


@dataclass(frozen=True)
class ParityReport:
    """Torch float32 on the CPU against one ONNX session on the same images."""

    provider: str
    """The provider that was proven to compute the ONNX side."""
    bound: float
    """The largest logit difference that counts as equal."""
    max_abs_difference: float
    mean_abs_difference: float
    differing_voxels: int
    """Voxels whose most likely class differs. Under the bound, only near-ties can flip."""
    voxels: int
    images: int
    batches: int

    @property
    def ok(self) -> bool:
        """True when no logit differs by more than the bound."""
        return self.max_abs_difference <= self.bound

    def to_json(self) -> dict[str, Any]:
        """Every field and the verdict, ready for `json.dumps`."""
        return {**asdict(self), "ok": self.ok}


def check_parity(
    network: nn.Module,
    onnx_path: Path,
    batches: Iterable[np.ndarray],
    *,
    provider: str = "cpu",
    tolerance: float = 1e-3,
    threads: int | None = None,
) -> ParityReport:
    """Compare `network` with its export on `batches` of images (N, C, H, W) float32.

    The network is compared through a float32 CPU copy in evaluation mode. Exceeding `tolerance` is
    a fact in the report (`ok`), not an error. Raises `InputError` without batches or when either
    side gives other shapes or non-finite logits, and what `open_session` and `Session.run` raise.
    """
    session = open_session(onnx_path, provider=provider, threads=threads)
    twin = frozen_copy(network)
    worst = total = 0.0
    logits = flips = voxels = images = count = 0
    for batch in batches:
        theirs, ours = session.run(batch), _torch_logits(twin, batch)  # the session checks the batch
        _check_comparable(ours, theirs, onnx_path)
        difference = np.abs(ours.astype(np.float64) - theirs)
        worst = max(worst, float(difference.max()))
        total += float(difference.sum())
        logits += difference.size
        masks = ours.argmax(axis=1), theirs.argmax(axis=1)
        flips += int(np.count_nonzero(masks[0] != masks[1]))
        voxels += masks[0].size
        images += len(batch)
        count += 1
    if not count:
        raise InputError("Parity needs at least one batch of images, got none.")
    return ParityReport(session.provider_proven, tolerance, worst, total / logits, flips, voxels, images, count)


def _torch_logits(twin: nn.Module, batch: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return twin(torch.tensor(batch)).numpy()


def _check_comparable(ours: np.ndarray, theirs: np.ndarray, onnx_path: Path) -> None:
    if ours.shape != theirs.shape:
        raise InputError(f"The network gives logits {ours.shape}, {onnx_path} gives {theirs.shape}.")
    for name, logits in (("The network", ours), (str(onnx_path), theirs)):
        if not np.isfinite(logits).all():
            raise InputError(f"{name} gives non-finite logits.", cure="Check the weights and the images.")
