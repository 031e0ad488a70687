"""Writing `segment.html`: one file with the model, ONNX Runtime for browsers, and all code; nothing is ever loaded.

`segment.mjs` is the same engine for a page of one's own; it takes the model from beside it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import Any

from compress.bundle.contents import MODEL, MODULE, PAGE, TYPES
from compress.bundle.front_matter import title
from compress.bundle.shipment import Shipment, banners
from compress.bundle.web.knowledge import knowledge
from compress.errors import ModelFileError
from compress.runtime.golden import GOLDEN_KEY

_POLICY = (
    "default-src 'none'; script-src 'sha256-{app}' 'wasm-unsafe-eval'; style-src 'sha256-{style}'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""The page's own script and style, a worker made of its text, compiled WebAssembly; nothing is fetched or sent."""
RULES = {
    "preprocessing": {
        "spacing_mm",
        "size",
        "clip_percentiles",
        "axes",
        "resample",
        "crop_pad",
        "normalise",
        "recentre",
    },
    "postprocessing": {"activation", "resample", "decision", "outside_window", "small_pieces", "holes", "bare"},
}
"""What the page's code follows of a model card."""


def web_files(shipment: Shipment, model: bytes) -> dict[str, str]:
    """The page, the module and its types by file name, equal for equal inputs. `model` is the file's content.

    Raises `ModelFileError` for a card with a rule that their code does not follow.
    """
    bundle = _bundle(shipment)
    wasm = base64.b64encode(_built("runtime.wasm.gz")).decode()
    data = json.dumps({"bundle": bundle, "wasm": wasm}, allow_nan=False)
    module = f"const __DATA__ = {data};\n{_built(MODULE).decode()}"
    return {PAGE: _page(bundle, model, wasm), MODULE: module, TYPES: _built(TYPES).decode()}


def _bundle(shipment: Shipment) -> dict[str, Any]:
    """What the code is told of the model and of this package."""
    card = shipment.card.to_json()
    unknown = [f"{part}.{rule}" for part, known in RULES.items() for rule in sorted(set(card[part]) - known)]
    unknown += [] if card["tta"] == "none" else ["tta"]
    unknown += [] if card["input"]["channels"] == 1 else ["input.channels"]
    if unknown:
        raise ModelFileError(
            f"{shipment.file.path} asks for the rule '{unknown[0]}', which segment.html does not follow.",
            cure="Ship it without --web.",
        )
    name = title(shipment)
    return {
        "card": card,
        "golden": json.loads(shipment.file.metadata[GOLDEN_KEY]),
        "knowledge": knowledge(),
        "model": {"file": MODEL, "sha256": shipment.file.sha256, "title": f"{name[0].upper()}{name[1:]}"},
        "banners": banners(shipment),
    }


def _page(bundle: dict[str, Any], model: bytes, wasm: str) -> str:
    app, style = _built("app.js").decode(), _built("page.css").decode()
    parts = {
        "POLICY": _POLICY.format(app=_hash(app), style=_hash(style)),
        "STYLE": style,
        "APP": app,
        "NOTICES": html.escape(_built("notices.txt").decode()),
        "BUNDLE": _in_script(bundle),
        "WORKER": _in_script(_built("worker.js").decode()),
        "MODEL": base64.b64encode(model).decode(),
        "WASM": wasm,
    }
    pieces = _built("page.html").decode().split("@")
    return "".join(parts.get(piece, piece) if index % 2 else piece for index, piece in enumerate(pieces))


@cache
def _built(name: str) -> bytes:
    return (files("compress.bundle.web") / "built" / name).read_bytes()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _in_script(value: Any) -> str:
    """JSON that ends no script element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
