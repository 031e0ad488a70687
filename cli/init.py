"""`cardiocompress init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write the two files.")] = Path(),
    data: Annotated[Path | None, typer.Option("--data", help="ACDC or nnU-Net raw folder to put in.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> None:
    """Write a commented cardiocompress.yaml and ratios.yaml, ready for train, prune and bench."""
    from cli.console import say
    from compress.config import Network
    from compress.config.templates import config_text, ratios_text
    from compress.errors import ConfigError
    from compress.files import write_text
    from compress.runtime.providers import PROVIDERS
    from compress.terms import DEFAULT_FILE

    if data is not None:
        from compress.data.layouts import detect_layout

        say(f"{data}: {detect_layout(data)} layout.")
    texts = {
        folder / DEFAULT_FILE: config_text(None if data is None else str(data.resolve()), providers=PROVIDERS),
        folder / "ratios.yaml": ratios_text(len(Network().features)),
    }
    existing = [str(path) for path in texts if path.exists()]
    if existing and not force:
        raise ConfigError(f"{' and '.join(existing)} exist already.", cure="Use --force to overwrite.")
    for path, text in texts.items():
        say(f"Wrote {write_text(path, text)}")
    if data is None:
        say("train.paths.train_dir is null: the embedded PHANTOM is used until you put your data folder there.")
    say("Next: cardiocompress train")
