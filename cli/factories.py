"""Whether the function that a configuration names may be run: only where a person has typed its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compress.config import Config
    from compress.models.checkpoint import Meta

KEY = "train.model.factory"


def allow_factory(config: Config, *, typed: Sequence[str]) -> None:
    """Let `train.model.factory` be imported, from the current folder too, where this user has named it here.

    typed: what came from the command line, as "key=value" or keys alone. It is remembered for this folder: the next
    commands read the name from the configuration. Raises `ConfigError` for a name that only a file tells: whoever wrote
    the configuration would otherwise decide which code runs.
    """
    factory = config.train.model.factory
    if factory is None:
        return
    from compress.errors import ConfigError
    from compress.models.factory import TRUSTED, trust
    from compress.vouch import remember, remembered

    here = str(Path.cwd())
    if any(word.partition("=")[0].strip() == KEY for word in typed):
        remember("factory", factory, here)
    elif factory not in TRUSTED and not remembered("factory", factory, here):
        raise ConfigError(
            f"The configuration names {factory}, whose code would run; nobody has typed that here.",
            cure=f"If you trust it: --set {KEY}={factory}",
        )
    trust(factory, folder=here)


def allow_brought(brought: Meta | None) -> None:
    """Let the run's imported network be made by the function that this user has named in this folder.

    The configuration may be older than the import, and name another function or none.
    """
    from compress.vouch import remembered

    factory, here = brought.arguments.get("factory") if brought else None, str(Path.cwd())
    if isinstance(factory, str) and remembered("factory", factory, here):
        from compress.models.factory import trust  # torch, which other commands do without

        trust(factory, folder=here)
