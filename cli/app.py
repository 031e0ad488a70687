"""The command `cardiocompress`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.train import train

app = typer.Typer(
    name="cardiocompress",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train, prune, export and measure cardiac MRI segmentation networks.",
)
app.command()(train)


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from compress import __version__

        typer.echo(f"cardiocompress {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; a typed error prints one line and exits with its code."""
    from compress.errors import CardioCompressError

    try:
        app()
    except CardioCompressError as fault:
        from cli.console import errors

        errors.print(f"error: {fault}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(fault.exit_code)
