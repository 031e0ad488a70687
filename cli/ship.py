"""`cardiocompress ship`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.factories import allow_factory
from cli.model_options import ModelArgument, ThreadsOption
from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.bundle.ship import Shipped
    from compress.config import Config


def ship(
    candidate: ModelArgument,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", "-b", help="The model that it was compared with; shipped beside it.")
    ] = None,
    verdict: Annotated[
        Path | None,
        typer.Option("--verdict", help="The gate's verdict.json. Without it: the run's verdict on this very file."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option("--evidence", "-e", help="A further document or picture about this file. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The bundle's folder. Without it: MODEL-bundle beside the model."),
    ] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option("--sign-key", help="Sign with this private key (PEM; P-256, P-384 or P-521; no password)."),
    ] = None,
    web: Annotated[
        bool,
        typer.Option("--web", help="Add segment.html, which segments in a browser, offline (10 MiB and the model)."),
    ] = False,
    signer: Annotated[
        str, typer.Option("--signer", help="The name of who signs, for whoever verifies: a hospital's, a person's.")
    ] = "",
    ungated: Annotated[
        bool, typer.Option("--ungated", help="Ship without an accepted verdict; every document says NOT GATED.")
    ] = False,
    wheels: Annotated[
        bool,
        typer.Option("--wheels", help="Collect all that the bundle needs, for machines without a network (0.5 GB)."),
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Replace an earlier bundle.")] = False,
    threads: ThreadsOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Write one folder that goes to a hospital: model, model card, licence note, evidence, example, digests.

    Only a model that `gate` accepted is shipped (exit code 4 otherwise): its verdict is judged again from the scores
    beside it, and only evidence that speaks of this very file goes along. `cardiocompress verify FOLDER`
    checks the bundle wherever it went.
    """
    from cli.console import RichProgress
    from compress.bundle.ship import ShipRequest
    from compress.bundle.ship import ship as write
    from compress.rundir import RunDir

    chosen = _config_of(config, overrides)
    run = RunDir.of(chosen) if chosen else None
    request = ShipRequest(
        candidate,
        baseline,
        verdict,
        tuple(evidence or ()),
        out,
        run,
        sign_key,
        web,
        ungated,
        restart,
        threads,
        signer,
        wheels,
    )
    show_shipped(write(request, RichProgress()))
    if chosen and run and run.report_html.is_file():
        from cli.pages import show_pages
        from compress.steps.workspace import Workspace

        show_pages(Workspace(chosen, RichProgress()))


def show_shipped(shipped: Shipped) -> None:
    """What was written, and what the reader must know before it is passed on."""
    from cli.console import say, warn

    manifest = shipped.manifest
    if manifest.phantom:
        warn("PHANTOM: the model was trained on generated images.")
    if shipped.not_gated:
        warn(f"NOT GATED: {shipped.not_gated}.")
    if manifest.rules and manifest.gated:
        warn(f"GATED BY OTHER RULES than the default ones: {'; '.join(manifest.rules)}.")
    if shipped.evidence and not manifest.phantom:
        warn("evidence/ may name patients and show their images: read it before you publish the bundle.")
    size = sum(entry.size for entry in manifest.files) / 2**20
    signed = ", signed" if manifest.signed else ""
    say(f"{len(manifest.files)} files, {size:.2f} MiB{signed}: {shipped.folder}")
    say(f"Evidence: {', '.join(shipped.evidence) or 'none'}")
    if shipped.key:
        say(f"SHA-256 of the public key: {shipped.key}")


def _config_of(config: Path | None, overrides: list[str] | None) -> Config | None:
    """The configuration whose run folder holds verdicts and benchmarks; None without one."""
    from compress.config.read import load_config
    from compress.terms import DEFAULT_FILE

    if config is None and not overrides and not Path(DEFAULT_FILE).is_file():
        return None
    chosen = config or (Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None)
    found = load_config(chosen, overrides or [])
    allow_factory(found, typed=overrides or [])
    return found
