"""Models for the gate's tests, and a cohort on which the first of them is perfect.

No training: the cohort's reference masks ARE what the baseline finds, so its Dice is 1 and every loss of another model
is a loss against the truth.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from compress.data.frames import open_image
from compress.data.label_file import write_labels
from compress.data.layouts import find_cases
from compress.data.preprocess import Preprocessing
from compress.data.volume import ACDC_LABELS
from compress.export.metadata import make_card
from compress.export.onnx import export_onnx
from compress.export.seal import seal
from compress.models.build import build
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.unet import dense_widths
from compress.prune import rank
from compress.prune.rebuild import rebuild_checkpoint
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata
from compress.runtime.segmenter import Segmenter

FEATURES = (16, 32)
TRAINING = "7" * 64
"""Digest of the data that the models say they were trained on."""


def write_dense(path: Path) -> tuple[Path, Checkpoint]:
    """A U-Net with random weights whose four classes all occur, as a finished export."""
    torch.manual_seed(5)
    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths(FEATURES)}
    network = build("unet", arguments).eval()
    nn.init.zeros_(network.head.bias)  # pyright: ignore
    rules = Preprocessing((6.0, 6.0), (32, 32), (0.5, 99.5))
    meta = Meta("unet", arguments, dict(ACDC_LABELS), rules.to_json(), phantom=True, data_digest=TRAINING)
    checkpoint = Checkpoint(network, meta)
    return _export(checkpoint, path), checkpoint


def write_pruned(checkpoint: Checkpoint, path: Path, *, ratio: float) -> Path:
    """The same without `ratio` of its filters, and without any retraining."""
    plan = rank(checkpoint.network, torch.zeros(1, 1, 32, 32), ratio=ratio, align="none")
    return _export(rebuild_checkpoint(checkpoint, plan), path)


def _export(checkpoint: Checkpoint, path: Path) -> Path:
    card = make_card(checkpoint, training_range=None, licence="none", intended_use="Tests.")
    return seal(export_onnx(checkpoint.network, path, divisor=4), card)


def changed(source: Path, target: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """Another graph under the same card, sealed again: what a network is that was honestly exported so."""
    card = read_card(read_metadata(source), source)
    model = onnx.load(source)
    change(model)
    target.write_bytes(model.SerializeToString())
    return seal(target, card)


def carded(source: Path, target: Path, **fields: object) -> Path:
    """The same graph under another card."""
    card = read_card(read_metadata(source), source)
    target.write_bytes(source.read_bytes())
    return seal(target, replace(card, **fields))


def without_rv(model: onnx.ModelProto) -> None:
    """The head never finds the RV: a bias puts this class far below all others."""
    head = next(node for node in model.graph.node if "logits" in node.output)
    assert head.op_type == "Conv" and len(head.input) == 2, "a bias of zeros is not exported"
    bias = np.zeros(len(ACDC_LABELS) + 1, np.float32)
    bias[ACDC_LABELS["RV"]] = -1000.0
    model.graph.initializer.append(numpy_helper.from_array(bias, "damage"))
    head.input.append("damage")


def write_cohort(source: Path, folder: Path, model: Path) -> Path:
    """The phantom in `source` with the model's own masks as references; it says that it is synthetic."""
    shutil.copytree(source, folder)
    segmenter = Segmenter(model, threads=1)
    for study in find_cases(folder):
        assert study.label_path is not None
        mask = segmenter.segment_file(study.image_path).mask
        study.label_path.unlink()
        write_labels(study.label_path, mask, like=open_image(study.image_path))
    return folder
