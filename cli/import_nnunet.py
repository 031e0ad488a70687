"""`cardiocompress import-nnunet` and `export-nnunet`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, RestartOption, SetOption

if TYPE_CHECKING:
    from compress.exchange.import_nnunet import Imported
    from compress.steps.workspace import Workspace

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Images with masks to prune and judge it on; goes into a new cardiocompress.yaml."),
]


def import_nnunet(
    source: Annotated[Path, typer.Argument(help="A results folder of nnU-Net 2, or an exported zip of one.")],
    fold: Annotated[
        str | None, typer.Option("--fold", metavar="F|all", help="One fold, or the mean of all. Without it the first.")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="final|best|latest", help="Which of a fold's checkpoints.")
    ] = "final",
    data: DataOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    restart: RestartOption = False,
) -> None:
    """Bring a 2D network that nnU-Net trained into a run: it is then pruned, exported and run like one of our own.

    Its preprocessing stays nnU-Net's and travels with it. Nothing that a file of it names is executed. Without a
    cardiocompress.yaml one is written.
    """
    from cli.console import say, warn
    from compress.exchange.results import CHECKPOINTS
    from compress.registry import pick

    pick("checkpoint", dict.fromkeys(CHECKPOINTS, ""), checkpoint)
    with workspace_for(config, overrides, data) as ws:
        from compress.exchange.import_nnunet import import_nnunet as read
        from compress.steps.exchanging.bring import bring

        found = read(source, fold=fold, checkpoint=checkpoint)
        bring(ws, found.checkpoint, replace_earlier=restart)
    _tell(found)
    for note in found.notes:
        warn(note)
    say(f"Network: {ws.run.baseline.final}")
    say("Next: cardiocompress export (as it is), or cardiocompress prune (smaller).")


def export_nnunet(
    run: Annotated[Path, typer.Argument(help="The run's folder, such as artifacts/cardiac.")],
    out: Annotated[Path, typer.Argument(help="Where to write the results folder.")],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Which network: a folder under pruned/, or dense. Without it the only pruned one."),
    ] = None,
) -> None:
    """Give a network back to nnU-Net: a results folder that stock nnUNetv2_predict loads and nnU-Net trains on.

    The network must have come from nnU-Net, and a pruned one must have one width per stage (prune
    --keep-nnunet-compatible).
    """
    from cli.console import say
    from compress.exchange.export_nnunet import export_nnunet as write
    from compress.models.checkpoint import load
    from compress.steps.exchanging.give import network_of

    stage = network_of(run, name)
    folder = write(load(stage.final), out)
    say(f"{stage.final} -> {folder}")
    say(f"Try: nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m {folder} -f 0 -device cpu")


@contextmanager
def workspace_for(
    config: Path | None, overrides: list[str] | None, data: Path | None, *, factory: str | None = None
) -> Iterator[Workspace]:
    """The workspace of the configuration, which is written first where there is none, and stays if the import does."""
    from cli.console import say
    from cli.options import open_workspace
    from compress.terms import DEFAULT_FILE

    if config is not None or Path(DEFAULT_FILE).is_file():
        chosen = None if data is None else str(data.resolve())
        yield open_workspace(config, overrides, train__paths__train_dir=chosen, train__model__factory=factory)
        return
    written = _write_config(data, factory)
    try:
        yield open_workspace(config, overrides, train__model__factory=factory)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    say(f"Wrote {written}")


def _write_config(data: Path | None, factory: str | None) -> Path:
    from cli.console import say
    from compress.config.templates import config_text
    from compress.files import write_text
    from compress.runtime.providers import PROVIDERS
    from compress.terms import DEFAULT_FILE

    if data is not None:
        from compress.data.layouts import detect_layout

        say(f"{data}: {detect_layout(data)} layout.")
    folder = None if data is None else str(data.resolve())
    wanted = {"compensate": True} if factory else {"method": "bn-scale", "compensate": True}
    text = config_text(folder, providers=PROVIDERS, pruning=wanted, model={"factory": factory} if factory else {})
    return write_text(Path(DEFAULT_FILE), text)


def _tell(found: Imported) -> None:
    from cli.console import say
    from compress.models.cost import count_parameters

    meta, network = found.checkpoint.meta, found.checkpoint.network
    rules = meta.preprocessing
    rows, columns = rules["size"]
    say(
        f"{found.model}, fold {', '.join(found.folds)}: {meta.arguments['network']}, "
        f"{count_parameters(network):,} parameters"
    )
    say(f"Labels: {', '.join(f'{value} {name}' for name, value in meta.labels.items())}; patch {rows} x {columns}")
    if len(found.folds) > 1:
        say(
            f"The mean of {len(found.folds)} folds costs {len(found.folds)} times the time and size of one. Better: "
            f"import one fold, and learn from the mean with `prune --distill`."
        )
    elif found.others:
        say(f"Left: fold {', '.join(found.others)} (--fold all takes the mean of all, at that many times the cost).")
