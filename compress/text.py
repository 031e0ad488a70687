"""Texts that every document says alike: Markdown in which a value is never markup, and figures as words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

MISSING = "-"
"""What stands where there is no value."""


class Markdown(str):
    """Finished Markdown. Every other `str` is text, and so is what this becomes when it is joined to one."""


def one_line(value: object) -> str:
    """`value` as one line; what cannot be seen, steers the direction of text or cannot be encoded is spelt out."""
    line = " ".join(str(value).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def plain(value: object) -> Markdown:
    """`value` as one line of Markdown that is nothing but text, wherever it stands; `Markdown` stays as it is."""
    if isinstance(value, Markdown):
        return value
    return Markdown(_BEGINS_A_BLOCK.sub(r"\1\\\2", _inline(value)))


def cell(value: object) -> str:
    """`value` as one line of a CSV file that no spreadsheet computes, whatever it takes for a separator."""
    return _FORMULA.sub(r"\1'\2", one_line(value))


_FORMULA = re.compile(r"((?:^|[;,|\t])\s*['\"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What a spreadsheet takes for a formula at the start of a cell; full-width signs count in East Asian settings."""


def code(value: object) -> Markdown:
    """`value` in type that tells its characters apart; signs that could end it are replaced by ones that look alike."""
    return Markdown(f"`{one_line(value).translate(_LOOK_ALIKE) or MISSING}`")


_LOOK_ALIKE = str.maketrans("`|<>", "\u02cb\u00a6\u2039\u203a")
"""No escape works inside code; a bar ends a table's cell there as well."""


def link(label: object, target: object) -> Markdown:
    """A link to a file; both are text."""
    return Markdown(f"[{plain(label)}]({quote(str(target), errors='replace')})")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """A Markdown table without a line end. Heads and cells are text, unless they are `Markdown`."""
    lines = [list(map(_inline, heads)), ["---"] * len(heads), *(list(map(_inline, row)) for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


_MARKUP = re.compile(r"(?<=[^\W_])_+(?=[^\W_])|([\\`*_\[\]<>|#~$]|&(?=#?\w+;))")
"""Signs that Markdown reads; an underscore inside a word is none."""
_BEGINS_A_BLOCK = re.compile(r"^(\d{0,9})([-+=]+|[.)])(?=\s|$)")
"""At the start of a line: a list, a rule, or the underline that makes a heading of the line above."""


def _inline(value: object) -> str:
    """`value` as text inside a line."""
    if isinstance(value, Markdown):
        return value
    return _MARKUP.sub(lambda found: f"\\{found[1]}" if found[1] else found[0], one_line(value))


def phantom_mark(phantom: bool) -> str:
    """What stands behind a figure of synthetic images, with the space before it; nothing for those of patients."""
    return " (phantom)" if phantom else ""


def dash(value: float | None, spec: str) -> str:
    """The figure in the format `spec`, such as ".4f"; a dash for None."""
    return MISSING if value is None else f"{value:{spec}}"


def span(low: float | None, high: float | None, spec: str = ".2f") -> str:
    """Such as "2.34 to 2.37"; a dash when an end is None."""
    return MISSING if low is None or high is None else f"{low:{spec}} to {high:{spec}}"


def interval(middle: float, low: float | None, high: float | None, spec: str = ".2f") -> str:
    """Such as "2.35 (2.34 to 2.37)"; the figure alone when an end is None."""
    return f"{middle:{spec}}" + ("" if low is None or high is None else f" ({span(low, high, spec)})")


def spread(mean: float | None, sd: float | None, spec: str) -> str:
    """Such as "0.910 ± 0.021"; the mean alone without an SD, a dash without a mean."""
    return dash(mean, spec) + ("" if mean is None or sd is None else f" ± {sd:{spec.lstrip('+')}}")


def mib(size: int | None, spec: str = ".2f") -> str:
    """Bytes as a figure of MiB, without the unit; a dash for None."""
    return MISSING if size is None else f"{size / 2**20:{spec}}"


def si(value: float, spec: str = ".3g") -> str:
    """A count with k, M or G, such as "1.94M"; `spec` is the format of what is shortened."""
    text = f"{value:.3g}"
    for power, suffix in enumerate("kMG", start=1):
        if abs(float(text.rstrip("kM"))) < 1000:
            break
        text = f"{value / 1000**power:{spec}}{suffix}"
    return text


def without_folders(text: str) -> str:
    """`text` with every absolute path cut down to its last part: a document tells nobody's folders.

    A folder with a space in its name is none that could be told from words: keys that are paths are left out before.
    """
    return _FOLDERS.sub("…/", text)


_FOLDERS = re.compile(r"(?<![^\s'\"(=\[,:])(?:[A-Za-z]:[\\/]|~?/|\\\\)(?:[^\s/\\'\"]+[\\/])*(?=[^\s/\\'\"])")


def every_text(value: Any, change: Callable[[str], str]) -> Any:
    """Plain JSON with `change` applied to every text, keys included."""
    if isinstance(value, dict):
        return {change(key): every_text(found, change) for key, found in value.items()}
    if isinstance(value, list):
        return [every_text(found, change) for found in value]
    return change(value) if isinstance(value, str) else value


def short(digest: object) -> str:
    """The first digits of a digest, enough to tell files apart."""
    return str(digest)[:12]
