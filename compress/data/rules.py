"""The rules by which images are prepared for a network: this program's own, or nnU-Net's."""

from __future__ import annotations

from typing import Any

from compress.data.nnunet.rules import KIND, NnunetRules
from compress.data.preprocess import Preprocessing

Rules = Preprocessing | NnunetRules


def rules_from_json(value: dict[str, Any]) -> Rules:
    """The rules that `to_json` of either kind wrote; `CheckpointError` when they are damaged."""
    if isinstance(value, dict) and value.get("kind") == KIND:
        return NnunetRules.from_json(value)
    return Preprocessing.from_json(value)
