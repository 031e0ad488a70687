"""Values as Markdown, and figures as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from compress.text import (
    Markdown,
    cell,
    code,
    dash,
    interval,
    link,
    markdown_table,
    mib,
    one_line,
    plain,
    si,
    span,
    spread,
)

NASTY = (
    *("a_b", "__a__", "1. a", "- a", "+", "===", "# a", "a #", "`a`", "``", "|", "\\", "\\|", "&lt;", "<b>"),
    *("![a](b)", "$a$", "~~a~~", "http://b"),
)
TEXTS = st.text(max_size=30) | st.lists(st.sampled_from(NASTY), max_size=5).map(" ".join)


def read(text: str) -> list[tuple[str, str]]:
    """Kinds and contents of the blocks and of what stands inside them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        (token.type, "" if token.type == "inline" else token.content)
        for block in tokens
        for token in (block, *(block.children or ()))
    ]


def shown(text: str) -> str:
    return "".join(content for _, content in read(text))


@given(TEXTS)
def test_a_value_is_text_wherever_it_stands(value: str) -> None:
    line = one_line(value)
    if line:
        assert [kind for kind, _ in read(plain(value))] == ["paragraph_open", "inline", "text", "paragraph_close"]
        assert shown(plain(value)) == line
        assert shown(f"# {plain(value)}") == shown(f"a\n{plain(value)}")[1:] == line
    assert [kind for kind, _ in read(f"a {code(value)} b")][2:5] == ["text", "code_inline", "text"]
    assert [kind for kind, _ in read(f"a {link(value, value)} b")].count("link_open") == 1


@given(TEXTS)
def test_a_table_keeps_its_cells(value: str) -> None:
    table = read(markdown_table([value, "x"], [["a", value], [value, "b"]]))
    assert [kind for kind, _ in table].count("td_open") == 4
    assert {kind for kind, _ in table if kind[:2] not in ("ta", "th", "tb", "tr", "td")} <= {"inline", "text"}
    assert "".join(content for _, content in table) == f"{one_line(value)}xa{one_line(value) * 2}b"


def test_code_shows_a_digest_as_it_is_and_nothing_that_ends_it() -> None:
    assert (code("a" * 64), code(""), code("`|<b>")) == (f"`{'a' * 64}`", "`-`", "`\u02cb\u00a6\u2039b\u203a`")


def test_finished_markdown_stays_and_what_it_is_joined_to_does_not() -> None:
    assert plain(plain("a*b")) == plain("a*b") == "a\\*b"
    assert markdown_table(["a"], [[Markdown("**b**")]]).endswith("| **b** |")
    assert plain(Markdown("**a**") + " b") == "\\*\\*a\\*\\* b"


def test_ordinary_names_and_figures_keep_their_bytes() -> None:
    cells = ["patient001_ED", "pruned-random_init", "-0.0050", "-", "+1.00", "2.35 (2.34 to 2.37)", "0.9 ± 0.1", ""]
    assert markdown_table(["hd95_mm"] * 8, [cells]).splitlines()[2] == f"| {' | '.join(cells)} |"


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (interval(2.351, 2.344, 2.366), "2.35 (2.34 to 2.37)"),
        (interval(0.5, None, None, "+.4f"), "+0.5000"),
        (span(-1, 2, "+.1f"), "-1.0 to +2.0"),
        (span(None, 2), "-"),
        (spread(1.0, 0.25, "+.2f"), "+1.00 ± 0.25"),
        (spread(1.0, None, ".2f"), "1.00"),
        (spread(None, None, ".2f"), "-"),
        (dash(None, ".4f"), "-"),
        (dash(0.0, ".4f"), "0.0000"),
        (mib(3 * 2**19), "1.50"),
        (mib(None), "-"),
        (si(0), "0"),
        (si(999), "999"),
        (si(1.5e9), "1.5G"),
        (si(999.6), "1k"),
        (si(1_940_000), "1.94M"),
        (si(31_043_521, ".2f"), "31.04M"),
        (si(999_999, ".2f"), "1.00M"),
        (si(5e12), "5e+03G"),
    ],
)
def test_figures_as_words(made: str, wanted: str) -> None:
    assert made == wanted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("Meier;=1+1", "Meier;'=1+1"),
        ("a,+1|@b", "a,'+1|'@b"),
        ("\uff1d1+1", "'\uff1d1+1"),
        (" -3", "'-3"),
        ('"=1', "\"'=1"),
        ("a\nb\x1b", "a b\\x1b"),
        ("LV-EF 3-5", "LV-EF 3-5"),
    ],
)
def test_no_cell_is_a_formula(text: str, shown: str) -> None:
    assert cell(text) == shown
