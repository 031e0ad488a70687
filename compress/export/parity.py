"""Does the exported file compute what the network computes? Logits on the network's grid.

What this means for masks, volumes and ejection fractions is measured in `compress.export.mask_parity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.errors import InputError
from compress.export.onnx import frozen_copy
from compress.runtime.predict import Run
from compress.runtime.session import Session


@dataclass(frozen=True)
class ParityReport:
    """Logits of torch in float32 on the CPU against one ONNX session on the same images."""

    provider: str
    """The provider that was proven to compute the ONNX side."""
    bound: float
    """The largest logit difference that counts as equal."""
    max_abs_difference: float
    differing_voxels: int
    """Voxels of the network's grid whose most likely class differs. Under the bound only near-ties can: each side
    moves by at most the bound, so torch's logits of the two classes were at most twice the bound apart."""
    voxels: int
    images: int
    versions: dict[str, str]
    """The versions of torch and onnxruntime."""

    @property
    def ok(self) -> bool:
        """True when no logit differs by more than the bound."""
        return self.max_abs_difference <= self.bound

    def to_json(self) -> dict[str, Any]:
        """Every field and the verdict, ready for `json.dumps`."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True)
class LogitDifference:
    """One batch's part of a `ParityReport`."""

    worst: float
    flips: int
    voxels: int
    images: int


def compare_logits(ours: np.ndarray, theirs: np.ndarray, *, file: str = "The ONNX file") -> LogitDifference:
    """Torch's logits (N, C, H, W) against ONNX Runtime's.

    Raises `InputError` for other shapes and for values that are not finite.
    """
    _check_comparable(ours, theirs, file)
    here, there = (side.argmax(axis=1) for side in (ours, theirs))
    return LogitDifference(
        worst=float(np.abs(ours.astype(np.float64) - theirs).max()),
        flips=int(np.count_nonzero(here != there)),
        voxels=here.size,
        images=len(ours),
    )


def join_logits(parts: Sequence[LogitDifference], session: Session, *, bound: float) -> ParityReport:
    """The report over all batches that `session` computed. Raises `InputError` without any."""
    if not parts:
        raise InputError("Parity needs at least one batch of images, got none.")
    return ParityReport(
        provider=session.provider_proven,
        bound=bound,
        max_abs_difference=max(part.worst for part in parts),
        differing_voxels=sum(part.flips for part in parts),
        voxels=sum(part.voxels for part in parts),
        images=sum(part.images for part in parts),
        versions={"torch": torch.__version__, "onnxruntime": session.details["onnxruntime"]},
    )


def reference_run(network: nn.Module) -> Run:
    """A float32 CPU copy of `network` in evaluation mode, as a function from images to logits."""
    twin = frozen_copy(network)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return twin(torch.tensor(images)).numpy()

    return run


def _check_comparable(ours: np.ndarray, theirs: np.ndarray, file: str) -> None:
    if ours.shape != theirs.shape:
        raise InputError(f"The network gives logits {ours.shape}, {file} gives {theirs.shape}.")
    for name, logits in (("The network", ours), (file, theirs)):
        if not np.isfinite(logits).all():
            raise InputError(f"{name} gives non-finite logits.", cure="Check the weights and the images.")
