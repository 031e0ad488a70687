"""Damaged files for readers: cut, flipped, repeated, with odd words in them; a typed error or a result, and soon."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from compress.errors import CardioCompressError

SECONDS = float(os.environ.get("CARDIOCOMPRESS_FUZZ", "0"))
EXAMPLES, SLOW = 25, 5.0

Reader = Callable[[Path], object]

TOKENS = (b"null", b"-1", b"1e400", b"NaN", b"[]", b"{}", b'""', b"true", b"9" * 400, b"\xff", b"\x00", b"*a", b"&a ")


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cut, flip, repeat, or put a token somewhere; several times."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "flip", "token", "repeat", "swap"]),
                st.floats(0, 1, exclude_max=True),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(content: bytes) -> bytes:
        for kind, share, number in steps:
            at = int(share * len(content))
            if kind == "cut":
                content = content[:at] + content[at + number :]
            elif kind == "flip":
                content = content[:at] + bytes([content[at] ^ (number or 1)]) + content[at + 1 :] if content else b""
            elif kind == "token":
                content = content[:at] + TOKENS[number % len(TOKENS)] + content[at + number % 7 :]
            elif kind == "repeat":
                content = content[:at] + content[at : at + 40] * number + content[at:]
            else:
                content = content[at:] + content[:at]
        return content

    return damage


def fuzz(content: bytes, path: Path, read: Reader, *, examples: int = EXAMPLES) -> None:
    """Read damaged copies of `content` at `path`: some in `make test`, for `CARDIOCOMPRESS_FUZZ` seconds if asked."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None, database=None)
    @given(damage=damages())
    def run(damage: Callable[[bytes], bytes]) -> None:
        path.write_bytes(damage(content))
        before = time.thread_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except CardioCompressError as fault:
            assert "\n" not in str(fault), str(fault)
        assert time.thread_time() - before < SLOW

    until, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < until:
        again: Any = seed(number)(run)
        again()
        number += 1
