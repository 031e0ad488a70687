"""A page in a real browser: it fits desktop and phone, and lets no script run."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pictures import is_drawn

from compress.report.forest_plot import ForestRow, forest_plot
from compress.report.html import bullets, definitions, details, el, figure, page, section, table

WIDTHS = (1280, 390, 360)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NAME = "<script>parent.broken = true</script>" + "a_very_long_name_without_any_space" * 4


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on this machine (apt-get install chromium)")


@pytest.fixture(scope="module")
def markup(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that a page can hold, too wide for a phone wherever that is possible."""
    row = ForestRow("Dice RV", "", -0.004, -0.012, 0.003, 0.02, "lower", True)
    picture = forest_plot(tmp_path_factory.mktemp("picture") / "forest.png", [row], phantom=True)
    heads = ["network", *(f"column {index}" for index in range(20))]
    parts = [
        el("div", el("p", el("strong", "REFUSED")), bullets([NAME]), class_="banner bad"),
        table(heads, [[NAME, *["0.1234"] * 20]] * 3, caption=f"wide {NAME}"),
        figure(picture, alt=NAME, caption=NAME),
        el("dl", *(el("div", el("dt", NAME), el("dd", "2.35x", el("small", NAME))) for _ in range(4)), class_="keys"),
        definitions([("digest", el("code", "a" * 64)), (NAME, NAME)]),
        details(NAME, el("pre", "x" * 500)),
    ]
    sections = [section(NAME, *parts, name="part", phantom=True)]
    return page(NAME, *sections, header=[el("h1", NAME), el("nav", bullets([NAME] * 5))], footer=NAME)


def browse(chromium: str, profile: Path, *arguments: str) -> str:
    command = [chromium, *QUIET, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


WATCH = """
addEventListener('load', () => {
  const seen = [...document.querySelectorAll('iframe')].map(frame => {
    const root = frame.contentDocument.documentElement;
    frame.contentDocument.querySelectorAll('details').forEach(part => part.open = true);
    return {width: frame.contentWindow.innerWidth, needs: root.scrollWidth,
            pictures: [...frame.contentDocument.images].map(image => image.naturalWidth),
            scrolls: [...frame.contentDocument.querySelectorAll('.scroll')].filter(
              box => box.scrollWidth > box.clientWidth).length};
  });
  document.getElementById('answer').textContent = JSON.stringify({seen, broken: window.broken === true});
});
"""


def watched(chromium: str, folder: Path, markup: str) -> dict:
    """The page, with its own policy, in frames of several widths: what a script outside sees of it."""
    frames = [
        f'<iframe width="{w}" height="900" style="border:0" srcdoc="{html.escape(markup)}"></iframe>' for w in WIDTHS
    ]
    outer = folder / "outer.html"
    outer.write_text(f"<pre id=answer></pre><script>{WATCH}</script>{''.join(frames)}", encoding="utf-8")
    dom = browse(chromium, folder / "profile", "--virtual-time-budget=4000", "--dump-dom", outer.as_uri())
    found = re.search(r'<pre id="answer">(\{.*?\})</pre>', dom, re.S)
    assert found, dom[:500]
    return json.loads(html.unescape(found[1]))


def test_it_fits_every_width_and_lets_no_script_run(chromium, markup, tmp_path):
    answer = watched(chromium, tmp_path, markup)
    assert [frame["width"] for frame in answer["seen"]] == list(WIDTHS)
    for frame in answer["seen"]:
        assert frame["needs"] <= frame["width"], f"{frame['width']} px: the page is {frame['needs']} px wide"
        assert frame["pictures"] == [1350]
        assert frame["scrolls"] >= 1, "the wide table scrolls in its own box"
    assert answer["broken"] is False


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_drawn(chromium, markup, tmp_path, width):
    source, shot = tmp_path / "page.html", tmp_path / "shot.png"
    source.write_text(markup, encoding="utf-8")
    size = f"--window-size={width},2000"
    browse(chromium, tmp_path / "profile", size, f"--screenshot={shot}", source.as_uri())
    assert int.from_bytes(shot.read_bytes()[16:20]) == width and is_drawn(shot)
