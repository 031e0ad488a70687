"""How a command is stopped from outside, and what to type then."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from types import FrameType

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command."""


class Stopped:
    """Which signal ended the command."""

    number = int(signal.SIGINT)

    @property
    def code(self) -> int:
        """The exit code: 130 for Ctrl-C, 143 for SIGTERM."""
        return SIGNALLED + self.number


@contextmanager
def sigterm_as_interrupt() -> Iterator[Stopped]:
    """SIGTERM, which schedulers and `docker stop` send, unwinds a command as Ctrl-C does; further ones are ignored."""
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def interrupt(number: int, _: FrameType | None) -> None:
        stopped.number = number
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def what_to_type(words: Sequence[str], resuming: Set[str], *, program: Sequence[str] = ("cardiocompress",)) -> str:
    """The command line that goes on where the one of `words`, those of the `program` left out, was stopped.

    resuming: the commands that have --resume, such as "train" and "data convert"; the others keep by themselves what
    is whole.
    """
    spoken = [word for word in words if not word.startswith("-")][:2]
    kept = list(words)
    if resuming & {"".join(spoken[:1]), " ".join(spoken)}:
        kept = [word for word in _without(kept, {"--restart": 0, "--resume": 0, "--extend": 1, "--rate": 1})]
        kept.append("--resume")
    return shlex.join([*program, *kept])


def _without(words: Sequence[str], options: dict[str, int]) -> Iterator[str]:
    """`words` without these options and the values that follow them."""
    skip = 0
    for word in words:
        name, given, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in options:
            skip = 0 if given else options[name]
        else:
            yield word
