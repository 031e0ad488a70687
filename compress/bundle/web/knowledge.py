"""What the page knows from this package, as JSON: limits and words, so that both say the same of an image."""

from __future__ import annotations

import base64
from typing import Any

import nibabel as nib
import numpy as np

from compress import __version__
from compress.data import frames, nifti_file, volume, work
from compress.data.dicom import build, examination, files, header, runs, views
from compress.data.label_file import SPATIAL, mask_header
from compress.data.phantom_marker import DESCRIPTION as PHANTOM
from compress.evaluate import plausibility, study
from compress.evaluate.clinical import QUANTITIES
from compress.runtime import concerns, golden, stack, verify
from compress.runtime.providers import PROVIDERS
from compress.terms import NO_DEVICE

_FORCE = "or choose 'Segment anyway' if you know better."


def knowledge() -> dict[str, Any]:
    """Plain JSON types; `src/knowledge.ts` says which."""
    return {
        "version": __version__,
        "report_schema": study.REPORT_SCHEMA,
        "recentring": True,
        "phantom_description": PHANTOM.decode(),
        "no_device": NO_DEVICE,
        "concerns": _concerns(),
        "stack": _stack(),
        "flags": _flags(),
        "study": {
            "cine_frames": study.CINE_FRAMES,
            "jump": study.JUMP,
            "density": volume.MYOCARDIAL_DENSITY,
            "units": {name: quantity.unit for name, quantity in QUANTITIES.items()},
            "words": study.WORDS,
        },
        "mask": {"nifti1": _mask_header(nib.Nifti1Header), "nifti2": _mask_header(nib.Nifti2Header)},
        "nifti": {
            "max_voxels": nifti_file.MAX_VOXELS,
            "gzip_max_ratio": nifti_file.GZIP_MAX_RATIO,
            "max_frames": frames.MAX_FRAMES,
            "max_cine_voxels": frames.MAX_CINE_VOXELS,
        },
        "work": {"max_scores": work.MAX_SCORES, "max_grey": work.MAX_GREY},
        "verify": {
            "flipped_voxels": verify.FLIPPED_VOXELS,
            "logit_bound": PROVIDERS["cpu"].logit_bound,
            "stride": golden.STRIDE,
        },
        "dicom": _dicom(),
    }


def _concerns() -> dict[str, Any]:
    return {
        "clearly": concerns.CLEARLY,
        "far": concerns.FAR,
        "rounding": concerns.ROUNDING,
        "field_mm": list(concerns.FIELD_MM),
        "min_pixels": concerns.MIN_PIXELS,
        "max_labels": concerns.MAX_LABELS,
        "sample": concerns.SAMPLE,
        "sizes_agree": volume.SIZES_AGREE,
        "two_sizes": volume.TWO_SIZES,
        "axes": list(concerns.AXES),
        "words": concerns.WORDS,
        "cures": concerns.CURES,
        "force": _FORCE,
        "export_again": concerns.EXPORT_AGAIN,
        "forced": study.WORDS["forced"],
    }


def _stack() -> dict[str, Any]:
    return {
        "min_slices": stack.MIN_SLICES,
        "height_mm": list(stack.HEIGHT_MM),
        "max_slices": stack.MAX_SLICES,
        "slices_factor": stack.SLICES_FACTOR,
        "cine_frames": stack.CINE_FRAMES,
        "alike": stack.ALIKE,
        "rounding": stack.ROUNDING,
        "flat": stack.FLAT,
        "time": stack.TIME,
        "many": stack.MANY,
        "no_volume": list(stack.NO_VOLUME),
        "words": stack.WORDS,
    }


def _flags() -> dict[str, Any]:
    return {
        "piece_ml": plausibility.PIECE_ML,
        "gap_mm": plausibility.GAP_MM,
        "ef_percent": list(plausibility.EF_PERCENT),
        "mass_g": list(plausibility.MASS_G),
        "stroke_ratio": plausibility.STROKE_RATIO,
        "max_runs": plausibility.MAX_RUNS,
        "ventricles": list(volume.VENTRICLES),
        "words": plausibility.WORDS,
    }


def _mask_header(kind: type[nib.Nifti1Header]) -> dict[str, Any]:
    """A mask's header before anything of its image is in it, and where the spatial fields lie: offset, size, count."""
    empty = mask_header(kind())
    fields = empty.structarr.dtype.fields
    assert fields is not None  # a header is a record
    spatial = []
    for name in SPATIAL:
        dtype, offset = fields[name][:2]
        item = dtype.base.itemsize
        spatial.append([offset, item, dtype.itemsize // item])
    return {"block": base64.b64encode(empty.binaryblock).decode(), "spatial": spatial}


def _dicom() -> dict[str, Any]:
    return {
        "classes": header.MR_CLASSES,
        "packed": header.PACKED,
        "max_side": header.MAX_SIDE,
        "max_files": files.MAX_FILES,
        "max_cine_voxels": frames.MAX_CINE_VOXELS,
        "phase_images": sorted(examination.PHASE_IMAGES),
        "heart_axis": list(views.HEART_AXIS),
        "short_axis": views.SHORT_AXIS,
        "rightwards": np.asarray(views.RIGHTWARDS).tolist(),
        "downwards": np.asarray(views.DOWNWARDS).tolist(),
        "long_axis": views.LONG_AXIS,
        "body": views.BODY,
        "min_slices": runs.MIN_SLICES,
        "same_place_mm": runs.SAME_PLACE_MM,
        "uneven": runs.UNEVEN,
        "parallel": runs.PARALLEL,
        "across": build.ACROSS,
    }
