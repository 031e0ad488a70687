"""What a difference in logits means for masks on the native grid, volumes in ml and ejection fractions.

Both sides go through one inverse. It cannot widen a difference: probabilities move by at most half of what logits
move, and linear interpolation averages them. So with logits under the bound a native voxel flips only where two
probabilities of torch are closer than that bound; how many do is counted here, on real volumes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from compress.data.volume import VENTRICLES, Volume
from compress.errors import InputError
from compress.evaluate.clinical import Pair, PhaseVolumes, clinical_pairs
from compress.evaluate.metrics import check_masks, count, dice, volume_ml


@dataclass(frozen=True)
class StructureParity:
    """One structure of one volume, as torch and as ONNX Runtime segment it."""

    dice: float
    """3D Dice of the two masks with each other; 1.0 when they are equal."""
    torch_dice: float
    """Against the reference, as `onnx_dice`."""
    onnx_dice: float
    torch_ml: float
    onnx_ml: float


@dataclass(frozen=True)
class VolumeParity:
    """One volume on its native grid."""

    patient: str
    phase: str
    """"ED", "ES" or "" when unknown."""
    differing_voxels: int
    voxels: int
    structures: Annotated[dict[str, StructureParity], Field(min_length=1)]


@dataclass(frozen=True)
class StructureSummary:
    """One structure over all volumes; deltas are ONNX - torch, the largest in magnitude."""

    smallest_dice: float
    """The smallest Dice of torch's mask with ONNX Runtime's."""
    torch_dice: float
    """Mean over volumes, against the reference, as `onnx_dice`."""
    onnx_dice: float
    largest_ml_delta: float


@dataclass(frozen=True)
class EjectionParity:
    """Ejection fraction of one ventricle, ONNX - torch."""

    patients: int
    """Those for whom both sides have one: both phases, and a ventricle that is not empty at ED."""
    largest_delta: float | None
    """In points of percent, the largest in magnitude; None without patients."""


def compare_masks(ours: np.ndarray, theirs: np.ndarray, volume: Volume) -> VolumeParity:
    """Torch's label mask (Z, Y, X) against ONNX Runtime's, both on the native grid of `volume`.

    Raises `DataError` when the grids differ and `InputError` when the volume has no reference.
    """
    if volume.mask is None:
        raise InputError(f"{volume.case.name} has no reference mask.", cure="Measure parity on labelled volumes.")
    check_masks(theirs, ours)
    check_masks(ours, volume.mask)
    reference = volume.mask
    structures = {
        name: _structure(ours == value, theirs == value, reference == value, volume.spacing)
        for name, value in volume.case.values.items()
    }
    flips = int(np.count_nonzero(ours != theirs))
    return VolumeParity(volume.case.patient, volume.case.phase, flips, ours.size, structures)


@dataclass(frozen=True)
class MaskParity:
    """All volumes; everything else is derived from them."""

    volumes: Annotated[tuple[VolumeParity, ...], Field(min_length=1)]

    @property
    def patients(self) -> int:
        return len({volume.patient for volume in self.volumes})

    @property
    def differing_voxels(self) -> int:
        """Native voxels whose label differs."""
        return sum(volume.differing_voxels for volume in self.volumes)

    @property
    def voxels(self) -> int:
        """Native voxels of all volumes."""
        return sum(volume.voxels for volume in self.volumes)

    @property
    def smallest_dice(self) -> float:
        """The smallest Dice of torch's masks with ONNX Runtime's, over structures and volumes."""
        return min(found.smallest_dice for found in self.structures().values())

    @property
    def largest_ml_delta(self) -> float:
        """ONNX - torch, the largest in magnitude over structures and volumes."""
        return _largest(found.largest_ml_delta for found in self.structures().values())

    @property
    def largest_ef_delta(self) -> float | None:
        """ONNX - torch in points, the largest in magnitude over ventricles; None when no EF exists."""
        known = [found.largest_delta for found in self.ejection().values() if found.largest_delta is not None]
        return _largest(known) if known else None

    def structures(self) -> dict[str, StructureSummary]:
        """One summary per structure, in the label map's order."""
        names = self.volumes[0].structures
        return {name: _summary([volume.structures[name] for volume in self.volumes]) for name in names}

    def ejection(self) -> dict[str, EjectionParity]:
        """Ejection fractions of the `VENTRICLES`."""
        pairs = clinical_pairs(map(_phase_volumes, self.volumes))
        return {name: _ejection(pairs[f"{name} EF"]) for name in VENTRICLES}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types without NaN. Only `volumes` is read back; the rest is derived, for readers."""
        return {
            "patients": self.patients,
            "differing_voxels": self.differing_voxels,
            "voxels": self.voxels,
            "structures": {name: asdict(found) for name, found in self.structures().items()},
            "ejection_fraction": {name: asdict(found) for name, found in self.ejection().items()},
            "volumes": [asdict(volume) for volume in self.volumes],
        }


def join_volumes(volumes: Iterable[VolumeParity]) -> MaskParity:
    """The record of all volumes. Raises `InputError` without any, and when a volume has no structure."""
    found = tuple(volumes)
    if not found or not all(volume.structures for volume in found):
        raise InputError("Parity of masks needs at least one volume with at least one structure.")
    return MaskParity(found)


def _structure(
    ours: np.ndarray, theirs: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> StructureParity:
    return StructureParity(
        dice=dice(count(theirs, ours)),
        torch_dice=dice(count(ours, reference)),
        onnx_dice=dice(count(theirs, reference)),
        torch_ml=volume_ml(ours, spacing),
        onnx_ml=volume_ml(theirs, spacing),
    )


def _summary(scores: list[StructureParity]) -> StructureSummary:
    return StructureSummary(
        smallest_dice=min(score.dice for score in scores),
        torch_dice=float(np.mean([score.torch_dice for score in scores])),
        onnx_dice=float(np.mean([score.onnx_dice for score in scores])),
        largest_ml_delta=_largest(score.onnx_ml - score.torch_ml for score in scores),
    )


def _phase_volumes(volume: VolumeParity) -> PhaseVolumes:
    """ONNX Runtime's volumes as the prediction, torch's as the reference."""
    theirs = {name: found.onnx_ml for name, found in volume.structures.items()}
    ours = {name: found.torch_ml for name, found in volume.structures.items()}
    return PhaseVolumes(volume.patient, volume.phase, theirs, ours)


def _ejection(pairs: list[Pair]) -> EjectionParity:
    deltas = [pair.prediction - pair.reference for pair in pairs]
    return EjectionParity(len(deltas), _largest(deltas) if deltas else None)


def _largest(deltas: Iterable[float]) -> float:
    return max(deltas, key=abs)
