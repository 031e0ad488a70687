"""Giving an exported file its model card and its golden self-test."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx

from compress.data.phantom import make_patient
from compress.files import atomic_path
from compress.runtime.card import KEY, ModelCard
from compress.runtime.golden import GOLDEN_KEY, make_golden
from compress.runtime.segmenter import Segmenter
from compress.runtime.verify import compute

_SLICES = 2
_STEP = 2
"""Every second pixel: the image stays recognisable, and the file small."""


def seal(path: Path, card: ModelCard) -> Path:
    """Write `card` and a self-test into the ONNX file at `path`, replacing what it had; returns `path`.

    The self-test is computed on the CPU by ONNX Runtime from the file itself. Raises what opening and
    running the file raise.
    """
    text = card.dumps()
    stamp(path, {"divisor": str(card.multiple_of), KEY: text})
    segmenter = Segmenter(path, threads=1, altered=True)
    image, spacing = golden_image()
    golden = make_golden(image, spacing, compute(segmenter, image, spacing), text)
    return stamp(path, {"divisor": str(card.multiple_of), KEY: text, GOLDEN_KEY: golden.dumps()})


def stamp(path: Path, metadata: dict[str, str]) -> Path:
    """Replace the file's `metadata_props` by `metadata`, sorted by key; returns `path`."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return path


@cache
def golden_image() -> tuple[np.ndarray, tuple[float, float, float]]:
    """Two middle slices of a generated heart, (Z, Y, X) uint8, and the voxel size in mm along (z, y, x)."""
    patient = make_patient(1, seed=0)
    whole = patient.images["ED"]
    first = (len(whole) - _SLICES) // 2
    image = whole[first : first + _SLICES, ::_STEP, ::_STEP].astype(np.float64)
    low, high = np.percentile(image, [0.5, 99.5])
    levels = np.rint(np.clip((image - low) / (high - low), 0, 1) * 63)  # few levels pack well
    z, y, x = patient.spacing
    return levels.astype(np.uint8), (z, y * _STEP, x * _STEP)
