"""The tiny configuration that command tests run with, and how they run a command in this process."""

from __future__ import annotations

import sys

import pytest

from cli.app import main

TINY = (
    "data.size=[32, 32]",
    "data.spacing_mm=[4.0, 4.0]",
    "train.val_ratio=0.34",
    "train.batch_size=4",
    "train.model.features=[4, 8]",
    "train.parameters.num_epochs=2",
    "train.parameters.precision=fp32",
    "train.parameters.augmentation=none",  # it would take most of the time
    "experiment.device=cpu",
    "evaluation.num_visuals=1",
    "pruning.ratios.align=none",
    "bench.rounds=3",
    "bench.warmup=1",
    "bench.threads=1",
)


def settings(*more: str) -> list[str]:
    """The tiny configuration as --set options."""
    return [part for value in (*TINY, *more) for part in ("--set", value)]


def exit_code(patch: pytest.MonkeyPatch, *arguments: object) -> int:
    patch.setattr(sys, "argv", ["cardiocompress", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
