"""segment.html as a file: made of the committed sources, closed to the network, equal for equal inputs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from document_kit import HOSTILE

from compress.bundle import web
from compress.bundle.shipment import Shipment
from compress.bundle.web.page import web_files
from compress.errors import ModelFileError
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_model_file

FOLDER = Path(str(web.__file__)).parent
SOURCES = ("build.mjs", "package.json", "package-lock.json")


@pytest.fixture
def shipment(sealed_path: Path) -> Shipment:
    file = read_model_file(sealed_path)
    card = read_card(file.metadata, sealed_path)
    return Shipment(file=file, card=card, version="9.9.9", not_gated="no verdict", web=True)


def segment_page(shipment: Shipment, model: bytes) -> str:
    return web_files(shipment, model)["segment.html"]


class Scripts(HTMLParser):
    """The text of each script and style element by its id or tag, and every address in an attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.policy, self.addresses, self._open = "", list[str](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(told["content"])
        self._open = (told.get("id") or tag) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[self._open] = self.found.get(self._open, "") + data


def test_it_was_built_from_the_sources_beside_it():
    """After a change: npm ci && npm run build in compress/bundle/web."""
    digest = hashlib.sha256()
    sources = sorted(path for path in (FOLDER / "src").rglob("*") if path.is_file())
    for path in [*(FOLDER / name for name in SOURCES), *sources]:
        digest.update(f"{path.relative_to(FOLDER).as_posix()}\n".encode() + path.read_bytes() + b"\n")
    assert (FOLDER / "built" / "sources.sha256").read_text().strip() == digest.hexdigest()


def test_the_lock_file_names_no_registry():
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all(package.get("integrity") for name, package in lock["packages"].items() if name)


def hash_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_only_its_own_text_may_run(shipment, sealed_path):
    text = segment_page(shipment, sealed_path.read_bytes())
    page = Scripts(text)
    hashes = {
        name: base64.b64encode(hashlib.sha256(page.found[name].encode()).digest()).decode() for name in page.found
    }
    assert f"script-src 'sha256-{hashes['script']}' 'wasm-unsafe-eval';" in page.policy
    assert f"style-src 'sha256-{hashes['style']}';" in page.policy
    assert page.policy.startswith("default-src 'none'; ") and "connect-src" not in page.policy
    assert page.addresses == []
    known = {"http://www.w3.org/2000/svg", "https://web.dev/cross-origin-isolation-guide/"}
    assert set(re.findall(r"\bhttps?://[^\s\"'\\<>)]+", page.found["script"] + page.found["worker"])) <= known
    assert base64.b64decode(page.found["model"]) == sealed_path.read_bytes()
    assert text == segment_page(shipment, sealed_path.read_bytes())


def test_no_text_of_a_card_becomes_markup(shipment, sealed_path):
    card = replace(shipment.card, intended_use=f"{HOSTILE}</script><b>@APP@", licence=HOSTILE)
    page = Scripts(segment_page(replace(shipment, card=card, not_gated=HOSTILE), sealed_path.read_bytes()))
    told = json.loads(page.found["bundle"])
    assert told["card"]["intended_use"] == f"{HOSTILE}</script><b>@APP@" and HOSTILE in told["banners"][1]
    assert set(page.found) == {"style", "bundle", "worker", "model", "wasm", "script"}


@pytest.mark.parametrize(
    ("part", "rule"),
    [("postprocessing.smoothing", {"mm": 2}), ("preprocessing.tiles", {"step": 0.5}), ("tta", "mirrored images")],
)
def test_a_rule_that_the_page_does_not_follow_is_refused(part, rule, shipment, sealed_path, monkeypatch):
    card = shipment.card.to_json()
    place, _, name = part.rpartition(".")
    (card[place] if place else card)[name] = rule
    monkeypatch.setattr(type(shipment.card), "to_json", lambda self: card)
    with pytest.raises(ModelFileError, match=rf"'{re.escape(part)}', which segment.html does not follow.*--web"):
        segment_page(shipment, sealed_path.read_bytes())
