"""The image that a bundle's example runs on: a few slices of a generated heart, of the kind that the model takes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from compress.data.phantom import PhantomPatient, make_patient, write_image
from compress.errors import DataError
from compress.runtime.card import ModelCard
from compress.runtime.modelfile import ModelFile
from compress.runtime.segmenter import Segmenter
from compress.runtime.stack import fewest_slices


def example_bytes(model: ModelFile, scrap: Path) -> bytes:
    """The image file for a model, after the model has segmented it; written into the folder `scrap` meanwhile.

    Raises `DataError` when every such image raises concerns with this model, and what `Segmenter` raises.
    """
    segmenter = Segmenter(model, threads=1)
    image, spacing_mm = example_image(segmenter.card)
    try:
        segmenter.segment(image, spacing_mm=spacing_mm, name="The generated example")
    except DataError as fault:
        raise DataError(
            f"No example can be made for this model: {fault.message}", cure="Check the training range in its card."
        ) from None
    write_image(path := scrap / "example.nii.gz", image, spacing_mm)
    return path.read_bytes()


def example_image(card: ModelCard) -> tuple[np.ndarray, tuple[float, float, float]]:
    """(Z, Y, X) int16 and the voxel size in mm along (z, y, x), moved into the card's training range.

    Only as many slices as a ventricle needs, so that the file stays small: middle ones, with all three structures.
    """
    patient = _patient()
    whole, (z, y, x) = patient.images["ED"], patient.spacing
    if card.range is not None:
        z, (y, x) = _into(z, card.range.slice_mm), (_into(size, card.range.pixel_mm) for size in (y, x))
    count = fewest_slices(z)
    first = max(0, (len(whole) - count) // 2)
    return whole[first : first + count], (z, y, x)


@cache
def _patient() -> PhantomPatient:
    return make_patient(1, seed=0)


def _into(size: float, limits: tuple[float, float]) -> float:
    return float(np.clip(size, *limits))
