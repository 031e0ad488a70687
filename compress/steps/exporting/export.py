"""Export a stage's network to ONNX, seal it with its card and self-test, and prove that it computes the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from compress.config import Export
from compress.data.images import image_of
from compress.data.nnunet.rules import NnunetRules
from compress.data.volume import ACDC_LABELS
from compress.errors import CheckpointError, GateError
from compress.exchange.import_nnunet import EXTRA
from compress.export.metadata import make_card
from compress.export.onnx import export_checkpoint
from compress.export.seal import seal
from compress.files import atomic_path, digest_file, digest_json
from compress.models.checkpoint import Checkpoint, load
from compress.rundir import ScoreFiles, Stage
from compress.runtime.card import ModelCard, TrainingRange
from compress.steps.exporting.parity import SYNTHETIC, ParityDocument, measure_parity, restore_parity
from compress.steps.exporting.pieces import tidy_rule
from compress.steps.reuse import Result
from compress.steps.workspace import RETRAINED_ON, Workspace
from compress.text import short


def export_stage(ws: Workspace, stage: Stage) -> ParityDocument:
    """Write the stage's ONNX file and parity.json; an up-to-date pair is left as it is.

    Parity is measured on volumes of validation patients. Raises `CheckpointError` without a finished
    network, `GateError` when torch and ONNX Runtime disagree, and what `measure_parity` raises. The file has its
    name only once parity is proven; otherwise neither it nor an older export is left.
    """
    checkpoint = load(stage.final)
    card = replace(card_of(ws, checkpoint), tidying=tidy_rule(ws, ScoreFiles(stage.evaluation).tried, checkpoint))
    inputs = {
        "network": checkpoint.meta.digest,
        "card": digest_json(card.to_json()),
        "data": ws.validation.identity(ws.rules_of(checkpoint.meta)) if ws.readable else SYNTHETIC,
    }

    def restore(document: dict[str, Any]) -> ParityDocument | None:
        return restore_parity(document["report"]) if document["onnx"] == digest_file(stage.onnx) else None

    if (stored := Result(stage.parity, inputs).stored(restore)) is not None:
        return stored
    for outdated in (stage.parity, stage.onnx):
        outdated.unlink(missing_ok=True)
    with atomic_path(stage.onnx) as partial:
        seal(export_checkpoint(checkpoint, partial), card)
        report = measure_parity(ws, checkpoint, partial, name=stage.onnx.name, tidy=card.tidy)
        if not report.ok:
            raise GateError(f"{stage.onnx.name} differs from torch: {report.failure}. The file was removed.")
        Result(stage.parity, inputs).store({"onnx": digest_file(partial), "report": report.to_json()})
    return report


def card_of(ws: Workspace, checkpoint: Checkpoint) -> ModelCard:
    """The model card of one of the workspace's networks.

    Raises `CheckpointError` when the workspace's data is not what the network was trained on: the card's training
    range and the parity report would speak of other images.
    """
    check_training_data(ws, checkpoint.meta.data_digest)
    told = ws.config.export
    rules = ws.rules_of(checkpoint.meta)
    heart = set(checkpoint.meta.labels) == set(ACDC_LABELS)
    use = told.intended_use if heart or told.intended_use != Export().intended_use else _use(checkpoint.meta.labels)
    mirroring = isinstance(rules, NnunetRules) and bool(rules.mirror_axes) and told.tta is not False
    card = make_card(
        checkpoint,
        preprocessing=rules,
        training_range=_range(ws, checkpoint),
        licence=told.licence,
        intended_use=use,
    )
    return replace(card, mirroring=mirroring)


def _use(labels: Iterable[str]) -> str:
    return (
        f"Research use only; not a medical device. Segments {', '.join(labels)}; every result needs the eyes of a "
        "qualified reader."
    )


def _range(ws: Workspace, checkpoint: Checkpoint) -> TrainingRange | None:
    """Of the images that the network was trained on last; an imported one's are told by what it came with, or not."""
    if ws.brought is None or RETRAINED_ON in checkpoint.meta.extra:
        return training_range(ws)
    told = checkpoint.meta.extra.get(EXTRA, {}).get("range")
    return None if told is None else TrainingRange(**{name: tuple(pair) for name, pair in told.items()})


def check_training_data(ws: Workspace, trained: str) -> None:
    """Raise `CheckpointError` unless `trained`, a digest ("": not told), is that of the workspace's training data."""
    if trained and trained != (here := ws.training.digest):
        what = "the phantom" if ws.training.phantom else str(ws.training.folder)
        raise CheckpointError(
            f"The network was trained on data {short(trained)}, but train.paths.train_dir is {what} ({short(here)}).",
            cure="Set train.paths.train_dir to the data that it was trained on.",
        )


def training_range(ws: Workspace) -> TrainingRange:
    """What the training patients' images look like, from their headers alone."""
    files = [image_of(case).open() for case in ws.cases_of(ws.split.train)]
    pixels = [size for file in files for size in file.spacing[1:]]
    sides = [n * size for file in files for n, size in zip(file.shape[1:], file.spacing[1:], strict=True)]
    gaps = [file.spacing[0] for file in files]
    counts = [file.shape[0] for file in files]
    ranges = [(round(min(v), 4), round(max(v), 4)) for v in (pixels, gaps, sides)]
    return TrainingRange(ranges[0], ranges[1], (min(counts), max(counts)), ranges[2])
