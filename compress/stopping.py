"""Ctrl-C and SIGTERM, held back while something runs that they must not tear."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


class Held:
    """Which signal has come meanwhile; None for none."""

    caught: int | None = None


@contextmanager
def held() -> Iterator[Held]:
    """Inside, the first Ctrl-C or SIGTERM is only noted, and takes effect at the end; a second one does at once.

    Outside the main thread, which alone hears signals, nothing is held.
    """
    found = Held()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        if found.caught is not None:
            restore()
            signal.raise_signal(number)
        found.caught = number

    for number in before:
        signal.signal(number, note)
    try:
        yield found
    finally:
        restore()
        if found.caught is not None:
            signal.raise_signal(found.caught)
