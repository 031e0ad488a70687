"""`cardiocompress import-torch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.import_nnunet import DataOption, workspace_for
from cli.options import ConfigOption, RestartOption, SetOption


def import_torch(
    factory: Annotated[str, typer.Argument(help="module:factory, such as monai.networks.nets:UNet.")],
    weights: Annotated[Path, typer.Argument(help="A state dict: .pth, .pt or .safetensors.")],
    preprocessing: Annotated[
        Path,
        typer.Option("--preprocessing", help="YAML: preprocessing, labels, network (arguments)."),
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    restart: RestartOption = False,
) -> None:
    """Bring a network of MONAI's, or of a function of your own, into a run: it is pruned and exported like our own.

    The factory's module is imported, from the current folder too; the weights run nothing.
    """
    from cli.console import say

    ws = workspace_for(config, overrides, data, factory=factory)
    from compress.exchange.import_torch import import_torch as read
    from compress.models.cost import count_parameters
    from compress.steps.exchanging.bring import bring

    found = read(factory, weights, preprocessing)
    bring(ws, found, replace_earlier=restart)
    say(f"{factory}: {count_parameters(found.network):,} parameters; labels {', '.join(found.meta.labels)}")
    say(f"Network: {ws.run.baseline.final}")
    say("Next: cardiocompress export (as it is), or cardiocompress prune (smaller).")
