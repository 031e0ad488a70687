"""`cardiocompress import-torch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.import_nnunet import DataOption, workspace_for
from cli.options import ConfigOption, RestartOption, SetOption


def import_torch(
    factory: Annotated[
        str, typer.Argument(help="module:factory, such as monai.networks.nets:UNet, or the folder of a MONAI bundle.")
    ],
    preprocessing: Annotated[
        Path,
        typer.Option("--preprocessing", help="YAML: preprocessing, labels, network (arguments)."),
    ],
    weights: Annotated[
        Path | None, typer.Argument(help="A state dict: .pth, .pt or .safetensors. A bundle has its own.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    restart: RestartOption = False,
) -> None:
    """Bring a network of MONAI's, or of a function of your own, into a run: it is pruned and exported like our own.

    The factory's module is imported, from the current folder too; the weights run nothing. Of a bundle the network,
    its weights and labels are read where its configuration is plain data; the YAML file says how images are prepared.
    """
    from cli.console import say
    from compress.errors import ConfigError
    from compress.exchange.monai_bundle import read_bundle

    bundle = read_bundle(Path(factory)) if Path(factory).is_dir() else None
    if (bundle is None) == (weights is None):
        told = "a folder, a bundle's, which has weights" if bundle else "no folder, and no weights are given"
        raise ConfigError(
            f"{factory} is {told}.", cure="Give the folder of a MONAI bundle alone, or module:factory and weights."
        )
    with workspace_for(config, overrides, data, factory=bundle.factory if bundle else factory) as ws:
        from compress.exchange.import_torch import import_bundle
        from compress.exchange.import_torch import import_torch as read
        from compress.models.cost import count_parameters
        from compress.steps.exchanging.bring import bring

        found = import_bundle(bundle, preprocessing) if bundle else read(factory, weights or Path(), preprocessing)
        bring(ws, found, replace_earlier=restart)
    say(f"{factory}: {count_parameters(found.network):,} parameters; labels {', '.join(found.meta.labels)}")
    say(f"Network: {ws.run.baseline.final}")
    say("Next: cardiocompress export (as it is), or cardiocompress prune (smaller).")
