"""The commands as the program itself knows them."""

from __future__ import annotations

import typer

from cli.app import app


def top_level() -> list[str]:
    """Names that follow `cardiocompress`: commands and groups."""
    return list(typer.main.get_command(app).commands)


def runnable() -> list[str]:
    """Every command that does something; those of a group as "group name"."""
    names = []
    for name, found in typer.main.get_command(app).commands.items():
        names += [f"{name} {sub}" for sub in found.commands] if hasattr(found, "commands") else [name]
    return names
