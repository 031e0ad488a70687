"""Export a stage's network to ONNX, seal it with its card and self-test, and prove that it computes the same."""

from __future__ import annotations

from pathlib import Path

from compress.data.frames import open_image
from compress.errors import CheckpointError, GateError
from compress.export.metadata import divisor_of, make_card
from compress.export.onnx import export_onnx
from compress.export.seal import seal
from compress.files import digest_file, digest_json, read_json, write_json
from compress.models.checkpoint import Checkpoint, load
from compress.rundir import Stage
from compress.runtime.card import ModelCard, TrainingRange
from compress.steps.parity import ParityDocument, measure_parity, restore_parity
from compress.steps.workspace import Workspace


def export_stage(ws: Workspace, stage: Stage) -> ParityDocument:
    """Write the stage's ONNX file and parity.json; an up-to-date pair is left as it is.

    Parity is measured on volumes of validation patients. Raises `CheckpointError` without a finished
    network and `GateError` when torch and ONNX Runtime disagree.
    """
    checkpoint = load(stage.final)
    card = card_of(ws, checkpoint)
    inputs = {"network": checkpoint.meta.digest, "card": digest_json(card.to_json())}
    stored = _stored(stage, inputs)
    if stored is not None:
        return stored
    stage.parity.unlink(missing_ok=True)
    _write(checkpoint, card, stage.onnx)
    report = measure_parity(ws, checkpoint, stage.onnx)
    if not report.ok:
        stage.onnx.unlink()
        raise GateError(f"{stage.onnx.name} differs from torch: {report.failure}. The file was removed.")
    write_json(stage.parity, {**inputs, "onnx": digest_file(stage.onnx), "report": report.to_json()})
    return report


def card_of(ws: Workspace, checkpoint: Checkpoint) -> ModelCard:
    """The model card of one of the workspace's networks.

    Raises `CheckpointError` when the workspace's data is not what the network was trained on: the card's training
    range and the parity report would speak of other images.
    """
    _check_data(ws, checkpoint)
    told = ws.config.export
    return make_card(
        checkpoint, training_range=training_range(ws), licence=told.licence, intended_use=told.intended_use
    )


def _check_data(ws: Workspace, checkpoint: Checkpoint) -> None:
    trained, here = checkpoint.meta.data_digest, ws.training.digest
    if trained and trained != here:
        what = "the phantom" if ws.training.phantom else str(ws.training.folder)
        raise CheckpointError(
            f"The network was trained on data {trained[:12]}, but train.paths.train_dir is {what} ({here[:12]}).",
            cure="Set train.paths.train_dir to the data that it was trained on.",
        )


def training_range(ws: Workspace) -> TrainingRange:
    """What the training patients' images look like, from their headers alone."""
    files = [open_image(study.image_path) for study in ws.studies_of(ws.split.train)]
    pixels = [size for file in files for size in file.spacing[1:]]
    sides = [n * size for file in files for n, size in zip(file.shape[1:], file.spacing[1:], strict=True)]
    gaps = [file.spacing[0] for file in files]
    counts = [file.shape[0] for file in files]
    ranges = [(round(min(v), 4), round(max(v), 4)) for v in (pixels, gaps, sides)]
    return TrainingRange(ranges[0], ranges[1], (min(counts), max(counts)), ranges[2])


def _write(checkpoint: Checkpoint, card: ModelCard, path: Path) -> None:
    """A file appears under its name only when it is sealed."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        export_onnx(checkpoint.network, partial, divisor=divisor_of(checkpoint), channels=card.channels)
        seal(partial, card).replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _stored(stage: Stage, inputs: dict[str, str]) -> ParityDocument | None:
    if not (stage.onnx.is_file() and stage.parity.is_file()):
        return None
    document = read_json(stage.parity)
    if {**inputs, "onnx": digest_file(stage.onnx)}.items() <= document.items():
        return restore_parity(document["report"])
    return None
