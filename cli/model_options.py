"""Options of the commands that run an exported model; they need nothing of the training side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compress.registry import explained
from compress.runtime.providers import PROVIDERS

ModelArgument = Annotated[Path, typer.Argument(help="An exported model (.onnx).")]
ProviderOption = Annotated[
    str,
    typer.Option("--provider", "-p", help=f"{explained(PROVIDERS)}; proven to compute, or refused (exit code 3)."),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; all cores that this process may use.")
]

RecursiveOption = Annotated[
    bool, typer.Option("--recursive", help="Also what lies in folders further down, called by the folders.")
]


def earlier_of(resume: bool, restart: bool) -> Literal["refuse", "resume", "restart"]:
    """What --resume and --restart say about results that are already there. Raises `ConfigError` for both."""
    from compress.errors import ConfigError

    if resume and restart:
        raise ConfigError("--resume and --restart exclude each other.")
    return "resume" if resume else "restart" if restart else "refuse"
