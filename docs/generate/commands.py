"""Every command with its arguments and options, as the program itself knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from cli.app import app
from compress.text import markdown_table
from generate.prose import codes, prose

_PLAINER = {"str": "TEXT", "path": "PATH", "int": "N", "int range": "N", "float": "X", "float range": "X"}
"""typer's words for what an option takes -> those of its help pages."""


def commands() -> str:
    """One heading for each panel of `--help`, below it one for each command."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name=app.info.name)
    panels: dict[str, list[str]] = {}
    for name, command in root.commands.items():
        said = panels.setdefault(str(command.rich_help_panel), [])
        said += ["\n".join(_lines(found, inner)) for found, inner in _runnable(command, name, context)]
    return "\n\n".join(f"## {panel}\n\n" + "\n\n".join(said) for panel, said in panels.items())


def _runnable(command: Any, name: str, parent: Any) -> Iterator[tuple[Any, Any]]:
    """A command, or those of a group, each with its context."""
    context = typer.Context(command, info_name=name, parent=parent)
    if not hasattr(command, "commands"):
        yield command, context
        return
    for inner, found in command.commands.items():
        yield from _runnable(found, inner, context)


def _lines(command: Any, context: Any) -> Iterator[str]:
    yield f"### `{context.command_path}` {{ #{context.command_path.partition(' ')[2].replace(' ', '-')} }}"
    yield f"\n{command.help}\n"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    if shown:
        yield markdown_table(("argument or option", "what it does", "default"), [_row(p, context) for p in shown])


def _row(param: Any, context: Any) -> tuple[str, str, str]:
    is_flag, metavar = getattr(param, "is_flag", False), param.make_metavar(context)
    if param.param_type_name == "argument":
        names = [metavar.strip("[]")]
    else:
        names = [*param.opts, *param.secondary_opts]
        names[-1] += "" if is_flag else f" {_PLAINER.get(metavar.strip('<>'), metavar)}"
    return codes(names), prose(param.help or ""), _default(param, is_flag)


def _default(param: Any, is_flag: bool) -> str:
    if param.required:
        return "needed"
    value = param.default() if callable(param.default) else param.default
    return "" if is_flag or value is None or value == () else str(value)
