"""The rules by which images are prepared for a network: this program's own, or nnU-Net's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compress.data.nnunet.rules import KIND, NnunetRules
from compress.data.preprocess import Preprocessing

Rules = Preprocessing | NnunetRules


def recentre_of(rules: Rules) -> int:
    """How often the window may be moved; nnU-Net's tiles cover the whole slice."""
    return rules.recentre if isinstance(rules, Preprocessing) else 0


def recentred(rules: Rules, times: int) -> Rules:
    """The same rules with a window that may be moved so often, where there is one."""
    return replace(rules, recentre=times) if isinstance(rules, Preprocessing) else rules


def rules_from_json(value: dict[str, Any]) -> Rules:
    """The rules that `to_json` of either kind wrote; `CheckpointError` when they are damaged."""
    if isinstance(value, dict) and value.get("kind") == KIND:
        return NnunetRules.from_json(value)
    return Preprocessing.from_json(value)
