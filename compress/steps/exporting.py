"""Export a stage's network to ONNX and prove that the file computes the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from compress import __version__
from compress.errors import GateError
from compress.export.onnx import export_onnx
from compress.export.parity import ParityReport, check_parity
from compress.files import digest_file, read_json, write_json
from compress.models.checkpoint import Checkpoint, Meta, load
from compress.rundir import Stage
from compress.steps.workspace import Workspace

PARITY_BOUND = 1e-3
"""Largest logit difference between torch and ONNX Runtime, both float32, that counts as equal."""
_PARITY_VOLUMES = 4


def export_stage(ws: Workspace, stage: Stage) -> ParityReport:
    """Write the stage's ONNX file and parity.json; an up-to-date pair is left as it is.

    Parity is measured on slices of validation patients. Raises `CheckpointError` without a finished
    network and `GateError` when torch and ONNX Runtime disagree beyond `PARITY_BOUND`.
    """
    checkpoint = load(stage.final)
    stored = _stored(stage, checkpoint)
    if stored is not None:
        return stored
    export_onnx(checkpoint.network, stage.onnx, divisor=divisor_of(checkpoint), metadata=metadata_of(checkpoint.meta))
    report = check_parity(checkpoint.network, stage.onnx, _batches(ws), tolerance=PARITY_BOUND)
    if not report.ok:
        stage.onnx.unlink()
        raise GateError(
            f"{stage.onnx.name} differs from torch by {report.max_abs_difference:.2g} in its logits; "
            f"at most {PARITY_BOUND:g} is accepted. The file was removed."
        )
    write_json(stage.parity, {"network": checkpoint.meta.digest, "onnx": digest_file(stage.onnx), **report.to_json()})
    return report


def divisor_of(checkpoint: Checkpoint) -> int:
    """Image height and width must be multiples of this."""
    return int(getattr(checkpoint.network, "divisor", 1))


def metadata_of(meta: Meta) -> dict[str, str]:
    """What travels inside the ONNX file, as text: no times, no paths."""
    facts = {
        "labels": meta.labels,
        "preprocessing": meta.preprocessing,
        "architecture": {"name": meta.architecture, **meta.arguments},
        "provenance": {
            "cardiocompress": __version__,
            "network": meta.digest,
            "parent": meta.parent,
            "stage": meta.stage,
            "data": meta.data_digest,
            "phantom": meta.phantom,
            "plan": meta.plan,
        },
    }
    return {f"cardiocompress.{key}": json.dumps(value, sort_keys=True) for key, value in facts.items()}


def _stored(stage: Stage, checkpoint: Checkpoint) -> ParityReport | None:
    if not (stage.onnx.is_file() and stage.parity.is_file()):
        return None
    document = read_json(stage.parity)
    if document.pop("network", "") != checkpoint.meta.digest or document.pop("onnx", "") != digest_file(stage.onnx):
        return None
    document.pop("ok")
    return ParityReport(**document)


def _batches(ws: Workspace) -> Iterator[np.ndarray]:
    """Slices of the first validation volumes, (N, 1, H, W) float32 each."""
    for prepared in ws.prepared(ws.studies_of(ws.split.val)[:_PARITY_VOLUMES]):
        yield np.ascontiguousarray(prepared.images[:, None])
