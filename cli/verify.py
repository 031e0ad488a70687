"""`cardiocompress verify`."""

from __future__ import annotations

import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.model_options import ProviderOption, ThreadsOption

if TYPE_CHECKING:
    from compress.bundle.verify import BundleVerification
    from compress.runtime.verify import Verification


def verify(
    model: Annotated[Path, typer.Argument(help="An exported model (.onnx), or a bundle's folder that `ship` wrote.")],
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="A bundle's signature must be by this key (PEM).")
    ] = None,
    not_before: Annotated[
        datetime | None,
        typer.Option("--not-before", formats=["%Y-%m-%d"], help="Refuse a bundle of an earlier day, or of none."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Run the self-test inside an exported model: does this machine compute what was computed at export?

    Says "bit-equal", "within tolerance", "another rounding of whole numbers" (an INT8 file on another provider than it
    was made for) or "broken" (exit code 4), with the provider and all versions. For a bundle's folder first its files,
    its signature and its claims: what is not as its own list says is exit code 4. Only --public-key tells who wrote
    that list.
    """
    from compress.errors import ConfigError, GateError

    if os.path.isdir(model):  # noqa: PTH112 (Path.is_dir raises for a name that is too long)
        day = None if not_before is None else not_before.date()
        _verify_bundle(model, provider, threads, public_key, day, as_json=as_json)
        return
    if not_before is not None or public_key is not None:
        what = "a file" if os.path.lexists(model) else "not there"
        raise ConfigError(f"{model} is {what}; a bundle's folder has a day and a signature.", cure="Name the folder.")
    from compress.runtime.verify import verify as run

    found = run(model, provider=provider, threads=threads)
    if as_json:
        _print_json(found)
    else:
        _show(found, str(model))
        _show_versions(found)
    if not found.ok:
        raise GateError(
            f"{model} is broken here: {'; '.join(found.reasons)}.", cure="Do not use it: copy or export it again."
        )


def _verify_bundle(
    folder: Path,
    provider: str,
    threads: int | None,
    public_key: Path | None,
    not_before: date | None,
    *,
    as_json: bool,
) -> None:
    from compress.bundle.verify import verify_bundle
    from compress.errors import GateError

    found = verify_bundle(folder, public_key=public_key, not_before=not_before, provider=provider, threads=threads)
    if as_json:
        _print_json(found)
    elif found.ok:
        _show_bundle(found)
    if not found.ok:
        first, more = found.reasons[:_SHOWN], len(found.reasons) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise GateError(f"{folder}: {'; '.join(first)}{rest}.", cure="Do not use it: ask for the bundle again.")


_SHOWN = 5
"""Reasons in the one line; --json has them all."""


def _show_bundle(found: BundleVerification) -> None:
    from cli.console import say, warn

    if found.phantom:
        warn("PHANTOM: the model was trained on generated images.")
    if not found.gated:
        warn("NOT GATED: no acceptance gate accepted this model.")
    if found.rules and found.gated:
        warn(f"GATED BY OTHER RULES than the default ones: {'; '.join(found.rules)}.")
    said = f", by its own word of {found.date}" if found.date and not found.key else f", of {found.date}"
    say(f"bundle: written by cardiocompress {found.version}{said if found.date else ''}")
    say(f"files: {found.files}, {found.word}")
    say(f"signature: {found.signature}")
    for name, verification in found.models.items():
        _show(verification, name)
    _show_versions(next(iter(found.models.values())))


def _show(found: Verification, name: str) -> None:
    from cli.console import say

    shown = "none" if found.max_logit_difference is None else f"{found.max_logit_difference:.2g}"
    say(f"{found.verdict}: {name} on {found.provider}")
    share = f"{found.differing_voxels / found.voxels:.2%}"
    say(f"voxels with another label: {found.differing_voxels} of {found.voxels}, {share} (a generated phantom)")
    say(f"largest logit difference: {shown} (at most {found.logit_bound:g} is accepted)")
    say(f"model SHA-256: {found.model}")


def _show_versions(found: Verification) -> None:
    from cli.console import say

    say("versions: " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))


def _print_json(found: Verification | BundleVerification) -> None:
    import json

    typer.echo(json.dumps(found.to_json(), indent=2))
