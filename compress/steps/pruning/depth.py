"""The dense network with less depth, as the ratios want it: made once, and kept in the run folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from compress.config import Ratios
from compress.files import digest_json
from compress.models.checkpoint import Checkpoint, load, save
from compress.prune.restructure import Depth, restructure
from compress.steps.reuse import intact
from compress.steps.workspace import Workspace

SLICES = 64
"""Training slices that convolutions are fitted on; 20,000 positions of each are drawn from them."""


def restructured(ws: Workspace, source: Checkpoint, ratios: Ratios) -> Checkpoint:
    """`source` after the moves of depth that the ratios name; `source` itself where they name none.

    Its `plan` says which. Raises `ConfigError` for blocks that are no double convolutions of it.
    """
    if not ratios.depth:
        return source
    key = digest_json([source.meta.digest, _moves(ratios), ws.config.experiment.seed, sorted(ws.split.train)])
    path = ws.run.restructured(key[:12])
    kept = intact(lambda: load(path))
    if kept is not None and kept.meta.parent == source.meta.digest:
        return kept
    ws.progress.note(f"Removing depth: fitting what takes the place of {described(ratios)}.")
    found = fitted(ws, source, ratios)
    return Checkpoint(found.network, save(path, found.network, found.meta))


def fitted(ws: Workspace, source: Checkpoint, ratios: Ratios) -> Checkpoint:
    """The same, made anew and not kept."""
    depth, seed = Depth(ratios.single, ratios.space_to_depth), ws.config.experiment.seed
    found, _ = restructure(source, depth, fitting_slices(ws), seed=seed)
    return Checkpoint(found.network, replace(found.meta, plan=_moves(ratios)))


def _moves(ratios: Ratios) -> dict[str, Any]:
    return {"single": sorted(ratios.single), "space_to_depth": ratios.space_to_depth}


def described(ratios: Ratios) -> str:
    """The moves in words."""
    parts = [f"the double convolution {block}" for block in ratios.single]
    return ", ".join([*parts, *(["the level of full resolution"] if ratios.space_to_depth else [])])


def fitting_slices(ws: Workspace) -> np.ndarray:
    """(N, H, W): the training slices that least squares look at."""
    images, seed = ws.training_images(), ws.config.experiment.seed
    return images[np.sort(np.random.default_rng(seed).permutation(len(images))[:SLICES])]
