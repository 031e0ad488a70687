"""HTML pages in one file: elements that always escape, tables, figures as data URIs, and the page around them.

Nothing is looked up on a network and nothing runs: the page's Content-Security-Policy forbids both. Text is escaped
because of how it is built: a child that is a `str` is text, and only `el` makes markup. Equal content gives equal
bytes.
"""

from __future__ import annotations

import base64
import html
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import DataError
from compress.outside import MAX_DOCUMENT, read_bytes
from compress.report.page_style import CSS

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Pictures inside the file and the style sheet; nothing else is loaded and no script runs."""

_VOID = frozenset({"meta", "img", "br", "hr"})
_PNG = b"\x89PNG\r\n\x1a\n"
_WIDE = 1300
"""Pictures of more pixels than this hold several panels."""
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Markup:
    """Finished markup. Made by `el` alone; everything else is text."""

    text: str


Child = Markup | str | None


def el(tag: str, *children: Child, **attributes: str | None) -> Markup:
    """An element. Children that are `str` are escaped, None is left out, as an attribute too.

    `class_` means class and `_` in an attribute's name is a hyphen.
    """
    names = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    if bad := [name for name in (tag, *names) if not _NAME.fullmatch(name)]:
        raise ValueError(f"Not a name of an element or attribute: {bad[0]!r}.")
    inside = "".join(f' {name}="{escape(value)}"' for name, value in names.items() if value is not None)
    if tag in _VOID:
        return Markup(f"<{tag}{inside}>")
    return Markup(f"<{tag}{inside}>{''.join(map(_render, children))}</{tag}>")


def escape(text: str) -> str:
    """`text` for element content and quoted attributes.

    What cannot be seen, steers the direction of text or cannot be encoded is spelt out, as in `\\x1b`.
    """
    if text.isprintable():  # also the megabytes of a picture
        return html.escape(text, quote=True)
    seen = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return html.escape(seen, quote=True)


def group(*children: Child) -> Markup:
    """Several children as one, without an element around them."""
    return Markup("".join(map(_render, children)))


def section(heading: str, *children: Child, name: str, phantom: bool = False) -> Markup:
    """A part of the page with its heading; `name` is its anchor. `phantom` marks the heading."""
    return el("section", heading_of("h2", heading, phantom=phantom, anchor=name), *children, aria_labelledby=name)


def heading_of(tag: str, text: str, *, phantom: bool = False, anchor: str | None = None) -> Markup:
    """A heading, with the word PHANTOM behind it where its figures come from synthetic images."""
    return el(tag, text, *((" ", el("span", "PHANTOM", class_="phantom-word")) if phantom else ()), id=anchor)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], *, caption: str, text_columns: int = 1, phantom: bool = False
) -> Markup:
    """A table in a box of its own that scrolls sideways; the first cell of a row is its heading.

    `text_columns`: so many columns hold words and are aligned to the left, the others hold figures.
    """
    shown = f"{caption} (PHANTOM)" if phantom else caption
    kinds = ["words" if index < text_columns else None for index in range(len(heads))]
    head = el("tr", *(el("th", h, scope="col", class_=kind) for h, kind in zip(heads, kinds, strict=True)))
    body = [
        el(
            "tr",
            el("th", row[0], scope="row", class_="words"),
            *(el("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    inner = el("table", el("caption", el("span", shown)), el("thead", head), el("tbody", *body))
    # Focusable, so that a keyboard can scroll it.
    return el("div", inner, class_="scroll", role="region", aria_label=shown, tabindex="0")


def definitions(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """A list of names and values."""
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in pairs))


def bullets(items: Iterable[Child]) -> Markup:
    """A bulleted list."""
    return el("ul", *(el("li", item) for item in items))


def details(summary: str, *children: Child) -> Markup:
    """Content that is folded until asked for."""
    return el("details", el("summary", summary), *children)


def figure(path: Path, *, alt: str, caption: str) -> Markup:
    """A PNG inside the page; on a narrow screen it scrolls sideways in its own box before it gets too small to read.

    Raises `DataError` when the file is no PNG.
    """
    content = read_bytes(Path(path), most=MAX_DOCUMENT, fault=DataError)
    if content[:8] != _PNG or len(content) < 24:
        raise DataError(f"{path} is not a PNG picture.", cure="Draw it again.")
    width, height = struct.unpack(">II", content[16:24])
    image = el(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}",
        alt=alt,
        width=str(width),
        height=str(height),
        class_="wide" if width > _WIDE else "medium",
    )
    box = el("div", image, class_="scroll", role="region", aria_label=alt, tabindex="0")
    return el("figure", box, el("figcaption", caption))


def page(title: str, *children: Child, header: Sequence[Child], footer: Child = None) -> str:
    """The whole document: `header` above, `children` in the middle."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        Markup(f"<style>{CSS}</style>"),
    )
    body = el(
        "body", el("header", *header), el("main", *children), None if footer is None else el("footer", el("p", footer))
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en').text}\n"


def _render(child: Child) -> str:
    if child is None:
        return ""
    return child.text if isinstance(child, Markup) else escape(child)
