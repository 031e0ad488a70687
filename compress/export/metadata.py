"""The model card of a checkpoint: what travels inside its ONNX file."""

from __future__ import annotations

import math
from importlib.metadata import version

from compress import __version__
from compress.data.colours import structure_colours
from compress.data.nnunet.rules import NnunetRules
from compress.data.rules import Rules, rules_from_json
from compress.models.checkpoint import Checkpoint
from compress.runtime.card import ModelCard, TrainingRange


def make_card(
    checkpoint: Checkpoint,
    *,
    training_range: TrainingRange | None,
    licence: str,
    intended_use: str,
    preprocessing: Rules | None = None,
) -> ModelCard:
    """The card of a trained network; no times and no paths, so equal networks give equal cards.

    preprocessing: None for the rules of its training, as they stand.
    Raises `CheckpointError` when the checkpoint's rules are damaged.
    """
    meta = checkpoint.meta
    rules = preprocessing or rules_from_json(meta.preprocessing)
    return ModelCard(
        labels=dict(meta.labels),
        colours=structure_colours(meta.labels),
        preprocessing=rules,
        multiple_of=divisor_of(checkpoint),
        channels=int(meta.arguments.get("in_channels", 1)),
        architecture={"name": meta.architecture, **meta.arguments},
        training={"data": meta.data_digest, "phantom": meta.phantom, "epochs": meta.epoch},
        range=training_range,
        provenance={
            "network": meta.digest,
            "parent": meta.parent,
            "stage": meta.stage,
            "versions": {"cardiocompress": __version__, **{name: version(name) for name in ("torch", "onnx")}},
        },
        pruning=meta.plan,
        licence=licence,
        intended_use=intended_use,
    )


def divisor_of(checkpoint: Checkpoint) -> int:
    """Image height and width must be multiples of this."""
    divisor, rules = int(getattr(checkpoint.network, "divisor", 1)), rules_from_json(checkpoint.meta.preprocessing)
    # nnU-Net's patch is a multiple of each axis's own strides, not of the larger.
    return math.gcd(divisor, *rules.size) if isinstance(rules, NnunetRules) else divisor
