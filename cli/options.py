"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.factories import allow_brought, allow_factory
from compress.registry import explained
from compress.runtime.providers import PROVIDERS

if TYPE_CHECKING:
    from compress.steps.training.request import Policy
    from compress.steps.workspace import Workspace

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file. Without it: ./cardiocompress.yaml."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override one value, e.g. --set train.parameters.num_epochs=5. Repeatable."),
]
ConfiguredProviderOption = Annotated[
    str | None,
    typer.Option("--provider", "-p", help=f"{explained(PROVIDERS)}. Without it: the configuration's."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run where it stopped.")]
RestartOption = Annotated[bool, typer.Option("--restart", help="Throw away an earlier result and begin again.")]


def open_workspace(config: Path | None, overrides: list[str] | None, **options: object) -> Workspace:
    """The workspace for a command's --config and --set, and its own options, which win.

    options: the key of the configuration, with "__" for its dots -> the value of an option; None: not given.

    Its run folder is held for this process until the command ends. Commands call it before they import what is slow,
    so that a misspelt key is answered at once.
    """
    from cli.console import RichProgress
    from cli.holding import hold
    from compress.config.read import load_config
    from compress.errors import ConfigError
    from compress.terms import DEFAULT_FILE

    chosen = config or Path(DEFAULT_FILE)
    if config is None and not chosen.is_file():
        raise ConfigError(
            f"There is no {DEFAULT_FILE} in this folder.",
            cure="Write one with `cardiocompress init`, or pass --config.",
        )
    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    loaded = load_config(chosen, overrides or [], given)
    allow_factory(loaded, typed=[*(overrides or []), *given])
    from compress.steps.workspace import Workspace  # slow: only after the configuration was found good

    ws = Workspace(loaded, RichProgress())
    allow_brought(ws.brought)
    hold(ws.run.root, ws.progress)
    return ws


def check_name(name: str) -> str:
    """A folder name that stays inside the run folder; `ConfigError` otherwise."""
    import re

    from compress.errors import ConfigError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"'{name}' is not a usable name: letters, digits, '.', '_' and '-' only.")
    return name


def policy_of(resume: bool, restart: bool, *, replace: bool = False) -> Policy:
    """What --resume and --restart say about results that are already there."""
    from cli.model_options import earlier_of
    from compress.steps.training.request import Policy

    word = earlier_of(resume, restart)
    if word == "restart":
        return Policy("restart", "replace", force=True)
    return Policy(word, "replace" if replace else "refuse")
