"""Which network of a run folder is meant."""

from __future__ import annotations

from pathlib import Path

from compress.config import Config
from compress.config.read import load_whole
from compress.errors import CheckpointError, ConfigError
from compress.rundir import RunDir, Stage

DENSE = "dense"


def network_of(folder: Path, name: str | None) -> Stage:
    """The network called `name` in a run folder: "dense", or a folder under pruned/; None: its only pruned one.

    Raises `CheckpointError` where it is missing, and `ConfigError` where there is a choice.
    """
    told = RunDir.of(Config()).rebased(folder).config
    if not told.is_file():
        raise CheckpointError(f"{folder} is no run folder: it has no {told.name}.", cure="Such as artifacts/cardiac.")
    run = RunDir.of(load_whole(told)).rebased(folder)
    pruned = {stage.root.name: stage for stage in run.pruned_stages()}
    every = pruned | ({DENSE: run.baseline} if run.baseline.final.is_file() else {})
    if not every:
        raise CheckpointError(f"{folder} is no run folder with a finished network.", cure="Such as artifacts/cardiac.")
    if name is None and len(pruned or every) == 1:
        return next(iter((pruned or every).values()))
    if name not in every:
        what = "holds several networks" if name is None else f"has no network {name}"
        raise ConfigError(f"{folder} {what}.", cure=f"Name one: --name {' or '.join(every)}.")
    return every[name]
