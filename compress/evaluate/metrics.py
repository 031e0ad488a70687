"""Overlap metrics and volumes of label masks, with numpy alone.

A metric is a function of the four `Counts` of one structure; to add one, write it and register it in `METRICS`.

Convention for structures that are absent: two empty masks agree perfectly (1.0); one empty mask against one that
is not scores 0.0 wherever the formula would divide zero by zero. Nothing here divides by zero or returns NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from compress.data.volume import check_spacing
from compress.errors import DataError


@dataclass(frozen=True)
class Counts:
    """Voxels of one structure in prediction against reference: true/false positives and negatives."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def predicted(self) -> int:
        """Voxels of the structure in the prediction."""
        return self.true_positive + self.false_positive

    @property
    def referenced(self) -> int:
        """Voxels of the structure in the reference."""
        return self.true_positive + self.false_negative

    @property
    def both_empty(self) -> bool:
        """True when neither mask holds the structure."""
        return self.predicted == 0 and self.referenced == 0


def check_label_mask(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """The spacing along (z, y, x) of a mask that is 3D; `DataError` for other masks, and a spacing not positive."""
    if mask.ndim != 3:
        raise DataError(f"The mask has shape {mask.shape}; (slices, rows, columns) is needed.")
    return check_spacing(spacing_mm, "The mask")


def check_masks(prediction: np.ndarray, reference: np.ndarray) -> None:
    """Raise `DataError` unless both arrays hold labels (integers or booleans) on the same, non-empty grid."""
    if prediction.shape != reference.shape:
        raise DataError(
            f"The prediction has shape {prediction.shape}, the reference {reference.shape}.",
            cure="Bring the prediction back into the reference's native grid first.",
        )
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.size == 0:
            raise DataError(f"The {name} is empty: shape {mask.shape}.", cure="Check how the volume was read.")
        if mask.dtype.kind not in "bui":
            raise DataError(
                f"The {name} has dtype {mask.dtype}; label masks are integers or booleans.",
                cure="Take the argmax of class scores first.",
            )


def count(prediction: np.ndarray, reference: np.ndarray) -> Counts:
    """Counts of two boolean masks of one shape."""
    true_positive = int(np.count_nonzero(prediction & reference))
    predicted, referenced = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    union = predicted + referenced - true_positive
    return Counts(true_positive, predicted - true_positive, referenced - true_positive, prediction.size - union)


def dice(counts: Counts) -> float:
    """Dice coefficient, 2 TP / (2 TP + FP + FN); 1.0 when both masks are empty."""
    total = counts.predicted + counts.referenced
    return 2.0 * counts.true_positive / total if total else 1.0


def iou(counts: Counts) -> float:
    """Intersection over union (Jaccard), TP / (TP + FP + FN); 1.0 when both masks are empty."""
    union = counts.predicted + counts.false_negative
    return counts.true_positive / union if union else 1.0


def accuracy(counts: Counts) -> float:
    """Share of all voxels on which both masks agree. Background dominates it: never rank networks by it."""
    total = counts.predicted + counts.false_negative + counts.true_negative
    return (counts.true_positive + counts.true_negative) / total if total else 1.0


def precision(counts: Counts) -> float:
    """TP / (TP + FP). An empty prediction scores 1.0 if the reference is empty too, else 0.0."""
    return counts.true_positive / counts.predicted if counts.predicted else float(counts.both_empty)


def recall(counts: Counts) -> float:
    """TP / (TP + FN). An empty reference scores 1.0 if the prediction is empty too, else 0.0."""
    return counts.true_positive / counts.referenced if counts.referenced else float(counts.both_empty)


METRICS: dict[str, Callable[[Counts], float]] = {
    "dice": dice,
    "iou": iou,
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
}
"""Overlap metrics by name; each maps the counts of one structure in one volume to a number in [0, 1]."""


def slice_mean_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Mean 2D Dice over the slices of two boolean (Z, Y, X) masks in which either holds the structure.

    It flatters or punishes empty slices: a few stray voxels on a slice without the structure cost a whole 0.0, and
    small apical slices weigh as much as large ones. Show it only beside the 3D Dice. 1.0 when both masks are empty.
    """
    scores = [dice(count(p, r)) for p, r in zip(prediction, reference, strict=True) if p.any() or r.any()]
    return float(np.mean(scores)) if scores else 1.0


def foreground_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice over all structures at once; a voxel counts as found only where both hold the SAME label.

    `prediction` and `reference` are label arrays of one shape, 0 is background.
    """
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float(2.0 * np.count_nonzero((prediction == reference) & (reference != 0)) / total) if total else 1.0


def volume_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Volume in millilitres of a boolean (Z, Y, X) mask; `spacing_mm` is the voxel size along (z, y, x)."""
    return float(np.count_nonzero(mask) * np.prod(np.asarray(spacing_mm, dtype=float)) / 1000.0)


SurfaceDistance = Callable[[np.ndarray, np.ndarray, Sequence[float]], float | None]
"""(prediction mask, reference mask, spacing in mm) -> distance in mm, None where undefined."""


@dataclass(frozen=True)
class StructureScore:
    """One structure of one volume."""

    overlap: dict[str, float]
    """Metric name (of `METRICS`) to 3D value."""
    slice_dice: float
    """Mean of the 2D Dice over slices; only meaningful beside the 3D Dice (see `slice_mean_dice`)."""
    hd95_mm: float | None
    """95th-percentile Hausdorff distance in mm; None when undefined or when surfaces were not measured."""
    prediction_ml: float
    reference_ml: float

    def values(self) -> dict[str, float | None]:
        """All metrics by name, in table order."""
        return {**self.overlap, "slice_dice": self.slice_dice, "hd95_mm": self.hd95_mm}


def score_structure(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], surface: SurfaceDistance | None = None
) -> StructureScore:
    """Every metric of one structure from two boolean (Z, Y, X) masks; HD95 only when `surface` is given."""
    counts = count(prediction, reference)
    return StructureScore(
        overlap={name: float(metric(counts)) for name, metric in METRICS.items()},
        slice_dice=slice_mean_dice(prediction, reference),
        hd95_mm=surface(prediction, reference, spacing_mm) if surface else None,
        prediction_ml=volume_ml(prediction, spacing_mm),
        reference_ml=volume_ml(reference, spacing_mm),
    )
