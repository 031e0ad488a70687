"""A command that torchrun has started several times: process 0 runs it, the others train along."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

from cli.stopping import SIGNALLED, Stopped
from compress.errors import EnvironmentFault

_UNSET = "Start it by torchrun, or unset RANK, WORLD_SIZE and MASTER_ADDR."


def processes() -> int:
    """How many torchrun has started on this machine and others; 1 where it was not torchrun.

    Raises `EnvironmentFault` where WORLD_SIZE is no number of up to seven digits.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ):
        return 1
    told = os.environ["WORLD_SIZE"]
    if not re.fullmatch("[1-9][0-9]{0,6}", told):
        raise EnvironmentFault(f"WORLD_SIZE is {told[:20]!r}; a number of processes is needed.", cure=_UNSET)
    return int(told)


def program() -> list[str]:
    """How this program was called, as it is typed."""
    if processes() == 1:
        return ["cardiocompress"]
    here = os.environ.get("LOCAL_WORLD_SIZE", str(processes()))
    return ["torchrun", "--nproc-per-node", here, "-m", "cli"]


def run_together(command: Callable[[], int | None], stopped: Stopped) -> int | None:
    """What the command returns, in process 0; the others serve it until it ends and say nothing: it speaks for all."""
    if processes() == 1:
        return command()
    from compress.errors import CardioCompressError
    from compress.train.group import joined
    from compress.train.shared import dismiss, serve

    with joined() as group:
        if group.rank == 0:
            code = command()
            if not code:
                dismiss()
            return code
        try:
            serve()
        except CardioCompressError as fault:
            sys.exit(fault.exit_code)
        except KeyboardInterrupt:
            sys.exit(SIGNALLED + stopped.number)
    return 0
