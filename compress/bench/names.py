"""What files are called that a person gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compress.errors import ConfigError


def named_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Display names for files given by hand: the shortest path ends that tell them apart."""
    if len(set(map(Path, paths))) != len(paths):
        raise ConfigError(
            "The same ONNX file was given twice.", cure="Name each file once; an A/A control is built in."
        )
    for depth in range(1, 6):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    return {f"{index + 1}:{path.stem}": path for index, path in enumerate(paths)}
