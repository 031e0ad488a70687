"""Does the exported file compute what the network computes? Logits on the network's grid.

What this means for masks, volumes and ejection fractions is measured in `compress.export.mask_parity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.errors import DataError, InputError
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
    mean_abs_difference: float
    differing_voxels: int
    """Voxels of the network's grid whose most likely class differs."""
    unexplained_voxels: int
    """Those among them that were no near-tie in torch: equal logits (under the bound) cannot flip them."""
    near_ties: int
    """Voxels whose two best logits in torch are at most 2 x bound apart: all that could flip under the bound."""
    voxels: int
    images: int
    batches: int
    versions: dict[str, str]
    """The versions of torch and onnxruntime."""

    @property
    def ok(self) -> bool:
        """True when no logit differs by more than the bound and only near-ties flipped."""
        return self.max_abs_difference <= self.bound and self.unexplained_voxels == 0

    def to_json(self) -> dict[str, Any]:
        """Every field and the verdict, ready for `json.dumps`."""
        return {**asdict(self), "ok": self.ok}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ParityReport:
        """The report that `to_json` wrote; `DataError` when it is not one."""
        try:
            return cls(**{key: item for key, item in value.items() if key != "ok"})
        except (TypeError, AttributeError) as fault:
            raise DataError(f"Not a parity report: {fault}.", cure="Export again.") from fault


@dataclass(frozen=True)
class LogitDifference:
    """One batch's part of a `ParityReport`."""

    worst: float
    total: float
    logits: int
    flips: int
    unexplained: int
    near_ties: int
    voxels: int
    images: int


def compare_logits(
    ours: np.ndarray, theirs: np.ndarray, *, bound: float, file: str = "The ONNX file"
) -> LogitDifference:
    """Torch's logits (N, C, H, W) against ONNX Runtime's. `InputError` for other shapes or values that are not finite.

    A flip from class a to class b is explained when torch's logits of a and b are at most 2 x `bound` apart:
    each side may move by `bound`. So unexplained flips exist only where the bound is broken; they tell an error
    that changes masks from one that does not.
    """
    _check_comparable(ours, theirs, file)
    exact = ours.astype(np.float64)
    difference = np.abs(exact - theirs)
    here, there = (side.argmax(axis=1)[:, None] for side in (ours, theirs))
    lost = np.take_along_axis(exact, here, axis=1) - np.take_along_axis(exact, there, axis=1)
    best_two = np.sort(exact, axis=1)[:, -2:]
    return LogitDifference(
        worst=float(difference.max()),
        total=float(difference.sum()),
        logits=difference.size,
        flips=int(np.count_nonzero(here != there)),
        unexplained=int(np.count_nonzero(lost > 2 * bound)),
        near_ties=int(np.count_nonzero(np.ptp(best_two, axis=1) <= 2 * bound)),
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
        mean_abs_difference=sum(part.total for part in parts) / sum(part.logits for part in parts),
        differing_voxels=sum(part.flips for part in parts),
        unexplained_voxels=sum(part.unexplained for part in parts),
        near_ties=sum(part.near_ties for part in parts),
        voxels=sum(part.voxels for part in parts),
        images=sum(part.images for part in parts),
        batches=len(parts),
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
