"""Pages are one file that nothing can break out of."""

import re
import struct
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import DataError
from compress.report import html
from compress.report.html import definitions, details, el, escape, figure, page, section, table
from compress.text import without_folders

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    "</style><script>",
    "</title>",
    "<!--",
    "-->",
    "]]>",
    "&lt;b&gt;",
    "\x00\x1b[31m\x7f\x9b",
    "\u202egpj.exe",
    "\ud800\udcff",
    "javascript:alert(1)",
    "\r\n\t\v",
)
TEXTS = st.text(st.characters(), max_size=60) | st.sampled_from(HOSTILE)
VOID = {"meta", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects elements, attributes and text, and checks that every element is closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(markup)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def picture(folder):
    path = folder / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIHDR" + struct.pack(">II", 1400, 20))
    return path


def whole_page(text: str, path) -> str:
    return page(
        text,
        section(text, el("p", text, title=text), name="part", phantom=True),
        table([text, text], [[text, text], [el("b", text), None]], caption=text, phantom=True),
        definitions([(text, text)]),
        details(text, el("pre", text)),
        figure(path, alt=text, caption=text),
        header=[el("h1", text)],
        footer=text,
    )


@pytest.fixture(scope="module")
def png(tmp_path_factory):
    return picture(tmp_path_factory.mktemp("picture"))


@given(TEXTS)
def test_text_stays_text(png, text):
    found, plain = Reader(whole_page(text, png)), Reader(whole_page("plain", png))
    assert found.tags == plain.tags
    assert [a[:2] for a in found.attributes] == [a[:2] for a in plain.attributes]


@given(TEXTS)
def test_what_is_shown_is_what_was_given(text):
    seen = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    assert "".join(Reader(el("p", text).text).words) == seen
    assert dict((n, v) for _, n, v in Reader(el("p", title=text).text).attributes) == {"title": seen}


@given(TEXTS)
def test_every_page_can_be_encoded_and_holds_no_control_character(png, text):
    data = whole_page(text, png).encode("utf-8").decode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", data)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_script_no_handler_no_address(png, text):
    found = Reader(whole_page(text, png))
    assert "script" not in found.tags and "iframe" not in found.tags and "link" not in found.tags
    for _, name, value in found.attributes:
        assert not name.startswith("on")
        if name in {"src", "href"}:
            assert value.startswith(("data:image/png;base64,", "#"))


def test_the_page_says_what_it_may_load(png):
    found = Reader(whole_page("t", png))
    policy = dict(re.findall(r"([a-z-]+) ([^;]+)", html.POLICY))
    assert policy["default-src"] == "'none'" and policy["img-src"] == "data:" and "script-src" not in policy
    assert ("meta", "content", html.POLICY) in found.attributes
    assert ("html", "lang", "en") in found.attributes
    assert {"header", "main", "footer", "title"} <= set(found.tags)


def test_the_style_loads_nothing():
    assert not re.search(r"url\(|@import|//|<", html.CSS)


def test_equal_content_gives_equal_bytes(png):
    assert whole_page("a", png) == whole_page("a", png)


def test_tables_have_headings_with_scope():
    found = Reader(table(["network", "Dice"], [["dense", "0.9"]], caption="c").text)
    assert [value for tag, name, value in found.attributes if (tag, name) == ("th", "scope")] == ["col", "col", "row"]
    assert found.tags.count("caption") == 1


def test_ragged_tables_are_refused():
    with pytest.raises(ValueError):
        table(["a", "b"], [["1"]], caption="c")


def test_names_of_elements_come_from_the_program():
    with pytest.raises(ValueError, match="Not a name"):
        el("p><script")
    with pytest.raises(ValueError, match="Not a name"):
        el("p", **{"a b": "c"})


def test_phantom_stands_in_the_heading():
    assert "".join(Reader(section("Dice", name="d", phantom=True).text).words) == "Dice PHANTOM"
    assert "PHANTOM" not in section("Dice", name="d").text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/data/acdc", "…/acdc"),
        ("in '/srv/x/y.onnx' it", "in '…/y.onnx' it"),
        ("C:\\Users\\ann\\a.onnx", "…/a.onnx"),
        ("path: /a/b", "path: …/b"),
        ("~/data/x", "…/x"),
        ("12 images/s, and/or 1/2", "12 images/s, and/or 1/2"),
        ("runs/a/b", "runs/a/b"),
        ("", ""),
    ],
)
def test_folders_are_left_out(text, shown):
    assert without_folders(text) == shown


def test_pictures_have_their_size_and_words_for_those_who_cannot_see(png):
    found = Reader(figure(png, alt="what is seen", caption="c").text)
    shown = {name: value for tag, name, value in found.attributes if tag == "img"}
    assert (shown["width"], shown["height"], shown["alt"], shown["class"]) == ("1400", "20", "what is seen", "wide")


def test_what_is_no_png_is_not_put_into_a_page(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"<svg onload=x>")
    with pytest.raises(DataError, match="not a PNG"):
        figure(path, alt="a", caption="c")


def test_escape_spells_out_what_cannot_be_seen():
    assert escape("a\x1b<\u202e\ud800") == "a\\x1b&lt;\\u202e\\ud800"
