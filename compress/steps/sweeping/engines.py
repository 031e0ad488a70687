"""Where the trials of a sweep run: one after the other here, or each as a task of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from compress.cluster import Lost, Needs, shared_out
from compress.config import Config
from compress.errors import ConfigError, EnvironmentFault
from compress.files import remove_all_partials
from compress.lock import locked
from compress.models.factory import trust
from compress.progress import Progress
from compress.registry import pick
from compress.steps.pruning.depth import restructured
from compress.steps.sweeping.trial import Trial, run_trial
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace
from compress.train.device import resolve_device

Rows = Generator[tuple[int, dict[str, Any]], None, None]


def needs_of(ws: Workspace, engine: str, *, cpus: int | None, gpus: float | None) -> Needs:
    """What each trial takes: by default one CPU, and a GPU where the dense network has one.

    Refuses what cannot run there before the dense network is trained: raises `ConfigError` for an unknown engine, for
    resources without a cluster and for a device that only one machine has, `ModuleNotFoundError` without Ray.
    """
    pick("engine", ENGINES, engine)
    device = ws.config.experiment.device
    if engine == "local":
        if (cpus, gpus) != (None, None):
            raise ConfigError("--cpus and --gpus are what a trial takes of a cluster.", cure="Add --engine ray.")
        return Needs()
    if find_spec("ray") is None:
        raise ModuleNotFoundError(name="ray")
    if device.startswith("cuda:"):
        raise ConfigError(
            f"experiment.device is {device}, but the cluster chooses each trial's GPU.",
            cure="Use --set experiment.device=cuda.",
        )
    return Needs(cpus or 1, float(resolve_device(device).type == "cuda") if gpus is None else gpus)


def local(ws: Workspace, trials: Sequence[Trial], needs: Needs) -> Rows:
    """Each trial's row with its index."""
    return ((number, run_trial(ws, trial)) for number, trial in enumerate(trials))


def on_ray(ws: Workspace, trials: Sequence[Trial], needs: Needs) -> Rows:
    """The same, as they come. A trial whose worker is lost is taken up where it was, by the files in its folder.

    Raises what a trial raises, `EnvironmentFault` for a trial that was lost again and again, and what `shared_out`
    raises.
    """
    for trial in trials:  # what several trials share is made once, before they look for it
        restructured(ws, dense_checkpoint(ws), trial.wanted.ratios)
    do = partial(_do, ws.config, needs.cpus)
    for number, found in shared_out(do, trials, beside=ws.run.sweep.results, needs=needs):
        name = trials[number].wanted.folder
        if isinstance(found, Lost):
            raise EnvironmentFault(
                f"The process that trained {name} {found.how}.",
                cure="There may be too little memory; what is trained is kept: call the same command again.",
            )
        row, heard = found
        heard.repeat(name, ws.progress)
        yield number, row


ENGINES: dict[str, Callable[[Workspace, Sequence[Trial], Needs], Rows]] = {"local": local, "ray": on_ray}


@dataclass
class Heard(Progress):
    """What a trial says, kept for whoever waits for it."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.said.append(("note", text))

    def warn(self, text: str) -> None:
        self.said.append(("warn", text))

    def repeat(self, name: str, progress: Progress) -> None:
        """Tell it all, under the trial's name."""
        for how, text in self.said:
            (progress.warn if how == "warn" else progress.note)(f"{name}: {text}")


def _do(config: Config, threads: int, trial: Trial) -> tuple[dict[str, Any], Heard]:
    """What runs on a machine of the cluster, in the folder where `sweep` was called."""
    torch.set_num_threads(threads)
    if config.train.model.factory is not None:  # as the command did that was called here
        trust(config.train.model.factory, folder=str(Path.cwd()))
    heard = Heard()
    ws = Workspace(config, heard)
    folder = ws.run.pruned(trial.wanted.folder).root
    with locked(folder, wait=True, progress=heard):  # a machine that was taken for lost may still be writing
        remove_all_partials(folder)
        return run_trial(ws, trial), heard
