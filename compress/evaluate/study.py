"""Clinical values of one study from its predicted masks alone, without a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES
from compress.evaluate.metrics import check_label_mask, volume_ml

CINE_FRAMES = 15
"""From so many frames on, neighbours in time show nearly the same heart; clinical cines have 20 to 50."""
JUMP = 0.35
"""Share of the range of a cine's LV volumes by which a frame may leave the median of the four around it."""
REPORT_SCHEMA = 1
"""Of a study's report, as `predict` and `segment.html` write it; raised whenever a field changes its meaning."""
WORDS = {
    "forced": "Forced although {concern}.",
    "no-volumes": "Its slices cannot hold a ventricle: no volume, EF or mass is stated of {names}.",
    "largest": "largest predicted LV volume",
    "smallest": "smallest predicted LV volume",
    "empty": "{frames}, in which no LV was found",
    "jumping": "{frames}, whose LV is far from that of the frames around it",
    "frames-left-out": "ED and ES were chosen without frame {parts}.",
}
"""What is said of a study, as format strings; `segment.html` of a bundle fills in the same ones."""


def structure_volumes(
    mask: np.ndarray, *, labels: Mapping[str, int | Sequence[int]], spacing_mm: Sequence[float]
) -> dict[str, float]:
    """Millilitres per structure of a (Z, Y, X) label mask with voxels of `spacing_mm` (z, y, x).

    A structure has one value, or several (a region).

    Raises `DataError` for a mask that is not 3D or a spacing that is not positive.
    """
    spacing = check_label_mask(mask, spacing_mm)
    return {name: volume_ml(np.isin(mask, value), spacing) for name, value in labels.items()}


def clinical_values(phases: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    """Every quantity of `QUANTITIES` that these phases ("ED", "ES") and structures allow, in `QUANTITIES[name].unit`.

    `phases` maps a phase to the millilitres of each structure. A quantity whose phase or structure is not there is
    left out; one that is undefined (the ejection fraction of an empty ventricle) is None.
    """
    values = {}
    for name, quantity in QUANTITIES.items():
        try:
            values[name] = quantity.compute(phases)
        except KeyError:  # a phase or a structure is not there
            continue
    return values


def find_phases(lv_ml: Sequence[float]) -> tuple[int, int]:
    """Indices of ED (largest) and ES (smallest) in a series of LV volumes in ml; of equal ones the first.

    Raises `DataError` for fewer than two frames, a volume that is negative or not finite, or volumes all equal.
    """
    volumes = np.asarray(lv_ml, dtype=float)
    if volumes.ndim != 1 or len(volumes) < 2:
        raise DataError(f"ED and ES cannot be told from {volumes.size} LV volumes; at least two frames are needed.")
    if not np.isfinite(volumes).all() or volumes.min() < 0:
        raise DataError("ED and ES cannot be told: an LV volume is negative or not finite.")
    if volumes.min() == volumes.max():
        raise DataError(f"ED and ES cannot be told: the LV has {volumes[0]:g} ml in all {len(volumes)} frames.")
    return int(volumes.argmax()), int(volumes.argmin())


def jumping_frames(lv_ml: Sequence[float]) -> list[int]:
    """Indices of frames of a cine whose LV (ml) is far from that of the frames around them, as no heart beats.

    The volume curve is taken as a circle; with fewer than `CINE_FRAMES` frames it is too coarse to tell.
    """
    volumes = np.asarray(lv_ml, dtype=float)
    if len(volumes) < CINE_FRAMES:
        return []
    around = np.median([np.roll(volumes, step) for step in (-2, -1, 1, 2)], axis=0)
    smooth = np.median([np.roll(volumes, step) for step in (-1, 0, 1)], axis=0)
    return np.flatnonzero(np.abs(volumes - around) > JUMP * np.ptp(smooth)).tolist()
