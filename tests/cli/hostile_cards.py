"""Hostile metadata: forged model cards and divisors, damaged self-tests, weights that changed after export."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import onnx
from hostile_kit import Place, Row, both, card, card_text, golden, metadata, model, options
from onnx import numpy_helper

from compress.runtime.card import KEY
from compress.runtime.golden import GOLDEN_KEY

ALL = ("predict", "info", "verify")
RUN = ("predict", "verify")

CARDS = [
    Row("foreign model without a card", metadata(KEY, lambda _: None), 2, "cardiocompress export", ALL),
    Row("card is no JSON", card_text("schema: 1"), 2, "is not JSON", ALL),
    Row("card nested a million times", card_text("[" * 2**20), 2, "is not JSON", ALL),
    Row("card of schema 3", card("schema", 3), 2, "this version reads schema 1 and 2. Update cardiocompress.", ALL),
    Row("a label named as markup", card("labels", {"[red]": 1, "MYO": 2, "LV": 3}), 2, "[red]", ALL),
    Row("a label with a line end", card("labels", {"RV\n": 1, "MYO": 2, "LV": 3}), 2, "holding the name 'RV\\n'"),
    Row("a window of 100000 pixels", card("preprocessing.size", [10**5, 10**5]), 2, "from 8 to 1024", ALL),
    Row("fewer classes than the graph", lambda p: _two_labels(p), 2, "does not fit its model", RUN),
    Row("another divisor than the card", metadata("divisor", lambda _: "8"), 2, "in multiples of 8", RUN),
    Row("a divisor of billions", metadata("divisor", lambda _: "9" * 10), 2, "1024 at most", RUN),
    Row("a divisor of words", metadata("divisor", lambda _: "four\x1b[2J"), 2, "divisor 'four", RUN),
]


def _two_labels(place: Place) -> None:
    both(card("labels", {"RV": 1, "LV": 2}), card("output.classes", ["background", "RV", "LV"]))(place)


def _packed(shape: list[int], content: bytes) -> dict[str, Any]:
    return {"shape": shape, "type": "uint8", "data": base64.b64encode(zlib.compress(content, 9)).decode()}


def _other_weight(parsed: onnx.ModelProto) -> None:
    tensor = parsed.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1e-7), tensor.name))


def _inverted_mask(text: str) -> str:
    document = json.loads(text)
    mask = zlib.decompress(base64.b64decode(document["mask"]["data"]))
    document["mask"] = _packed(document["mask"]["shape"], bytes(3 - value for value in mask))
    return json.dumps(document)


_VERIFY = ("verify",)
_DAMAGED = "The self-test in"
SELF_TESTS = [
    Row("no self-test", metadata(GOLDEN_KEY, lambda _: None), 2, "carries no self-test", _VERIFY),
    Row("self-test is no JSON", metadata(GOLDEN_KEY, lambda _: "{"), 2, _DAMAGED, _VERIFY),
    Row("self-test nested without end", metadata(GOLDEN_KEY, lambda _: "[" * 10**6), 2, _DAMAGED, _VERIFY),
    Row("self-test as a zip bomb", golden("mask", _packed([2, 8, 8], bytes(2**26))), 2, "holds 129 bytes", _VERIFY),
    Row("self-test that fills the memory", golden("spacing_mm", [8.0, 999.0, 999.0]), 4, "is broken here", _VERIFY),
    Row("self-test with another mask", metadata(GOLDEN_KEY, _inverted_mask), 4, "have another label", _VERIFY),
    Row("weights altered", model(_other_weight), 4, "weights or graph changed after export", _VERIFY),
    Row("card altered, as JSON", both(card("licence", "mine"), options("--json")), 4, "model card changed", _VERIFY),
]

METADATA = [*CARDS, *SELF_TESTS]
