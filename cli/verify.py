"""`cardiocompress verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.model_options import ModelArgument, ProviderOption, ThreadsOption


def verify(
    model: ModelArgument,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Run the self-test inside an exported model: does this machine compute what was computed at export?

    Says "bit-equal", "within tolerance" or "broken" (exit code 4), with the provider and all versions.
    """
    import json

    from cli.console import say
    from compress.errors import GateError
    from compress.runtime.verify import verify as run

    found = run(model, provider=provider, threads=threads)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        shown = "none" if found.max_logit_difference is None else f"{found.max_logit_difference:.2g}"
        say(f"{found.verdict}: {model} on {found.provider}")
        say(f"voxels with another label: {found.differing_voxels} of {found.voxels} (a generated phantom)")
        say(f"largest logit difference: {shown} (at most {found.logit_bound:g} is accepted)")
        say(f"model SHA-256: {found.model}")
        say("versions: " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    if not found.ok:
        raise GateError(
            f"{model} is broken here: {'; '.join(found.reasons)}.", cure="Do not use it: copy or export it again."
        )
