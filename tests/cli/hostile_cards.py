"""Hostile metadata: forged model cards and divisors, damaged self-tests, weights that changed after export."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import onnx
from hostile_kit import Maker, Place, Row, both, card, card_text, card_without, golden, metadata, model, options
from onnx import numpy_helper

from compress.runtime.card import KEY
from compress.runtime.golden import GOLDEN_KEY

ALL = ("predict", "info", "verify")
RUN = ("predict", "verify")

_FIELDS = (
    *("schema", "task", "labels", "colours", "input", "output", "preprocessing", "postprocessing", "tta", "training"),
    *("architecture", "provenance", "pruning", "licence", "intended_use", "training.range"),
    *(f"input.{name}" for name in ("name", "type", "layout", "channels", "multiple_of", "size")),
    *(f"output.{name}" for name in ("name", "type", "layout", "classes")),
    *(f"preprocessing.{name}" for name in ("spacing_mm", "size", "clip_percentiles", "resample", "normalise")),
    *(f"training.range.{name}" for name in ("pixel_mm", "slice_mm", "slices", "width_mm")),
)
CARD_FIELDS = [
    *(Row(f"card without {name}", card_without(name), 2, name.split(".")[0], ("info",)) for name in _FIELDS),
    *(Row(f"card with {name} of a wrong type", card(name, 7.5), 2, name.split(".")[0], ("info",)) for name in _FIELDS),
]


def _sized(size: list[int]) -> Maker:
    return both(card("preprocessing.size", size), card("input.size", size))


_MANY = {f"S{n}": n for n in range(1, 301)}
CARDS = [
    Row("foreign model without a card", metadata(KEY, lambda _: None), 2, "cardiocompress export", ALL),
    Row("card is no JSON", card_text("schema: 1"), 2, "is not JSON", ALL),
    Row("card is empty", card_text(""), 2, "is not JSON", ALL),
    Row("card is a list", card_text("[1, 2]"), 2, "is not a JSON object", ALL),
    Row("card is NaN", card_text("NaN"), 2, "NaN is not a number", ALL),
    Row("card nested a million times", card_text("[" * 2**20), 2, "is not JSON", ALL),
    Row("card with a key twice", metadata(KEY, lambda t: t[:-1] + ', "tta": "none"}'), 2, "'tta' stands there twice"),
    Row("card with a number without end", metadata(KEY, lambda t: t.replace("null", "9" * 5000)), 2, "is not JSON"),
    Row("card with an infinite number", metadata(KEY, lambda t: t.replace("null", "1e400")), 2, "is not JSON", ALL),
    Row("card of schema 0", card("schema", 0), 2, "this version reads schema 1. Export the model again.", ALL),
    Row("card of schema 2", card("schema", 2), 2, "this version reads schema 1. Update cardiocompress.", ALL),
    Row("card of schema '1'", card("schema", "1"), 2, 'schema "1"', ALL),
    Row("card of schema true", card("schema", True), 2, "schema true", ALL),
    Row("a label of 0", card("labels", {"RV": 0, "MYO": 1, "LV": 2}), 2, "'labels'", ALL),
    Row("a label twice", card("labels", {"RV": 1, "MYO": 1, "LV": 2}), 2, "'labels'"),
    Row("a label of a hole", card("labels", {"RV": 1, "MYO": 2, "LV": 4}), 2, "1 to the number of structures"),
    Row("a label that is true", card("labels", {"RV": True, "MYO": 2, "LV": 3}), 2, "'labels.RV' is true"),
    Row("no labels", card("labels", {}), 2, "'labels'"),
    Row("more labels than a mask holds", card("labels", _MANY), 2, "'labels'", ALL),
    Row("a label named as a path", card("labels", {"../RV": 1, "MYO": 2, "LV": 3}), 2, "holding the name '../RV'"),
    Row("a label named as markup", card("labels", {"[red]": 1, "MYO": 2, "LV": 3}), 2, "[red]", ALL),
    Row("a label with a line end", card("labels", {"RV\n": 1, "MYO": 2, "LV": 3}), 2, "holding the name 'RV\\n'"),
    Row("a window of 100000 pixels", card("preprocessing.size", [10**5, 10**5]), 2, "from 8 to 1024", ALL),
    Row("a window that is no multiple", _sized([30, 32]), 2, "no multiple of 4"),
    Row("a window of three sides", card("preprocessing.size", [32, 32, 32]), 2, "not two numbers"),
    Row("a window of half pixels", card("preprocessing.size", [32.5, 32]), 2, "preprocessing"),
    Row("multiples of 0", card("input.multiple_of", 0), 2, "'input.multiple_of' is 0", ALL),
    Row("multiples of -1", card("input.multiple_of", -1), 2, "not from 1 to 1024"),
    Row("multiples of a billion", card("input.multiple_of", 10**9), 2, "not from 1 to 1024"),
    Row("percentiles reversed", card("preprocessing.clip_percentiles", [99.5, 0.5]), 2, "contradictory", ALL),
    Row("percentiles equal", card("preprocessing.clip_percentiles", [50, 50]), 2, "contradictory"),
    Row("percentiles above 100", card("preprocessing.clip_percentiles", [0, 101]), 2, "from 0 to 100"),
    Row("pixels of 0 mm", card("preprocessing.spacing_mm", [0, 6]), 2, "from 0.1 to 20", ALL),
    Row("pixels of text", card("preprocessing.spacing_mm", "66"), 2, "not two numbers"),
    Row("another resampling", card("preprocessing.resample.order", 1), 2, "rules under 'preprocessing'", ALL),
    Row("an unknown rule", card("preprocessing.denoise", [3]), 2, "preprocessing", ALL),
    Row("another way back", card("postprocessing.decision", "first"), 2, "rules under 'postprocessing'"),
    Row("test-time augmentation", card("tta", "flips"), 2, "rules under 'tta'", ALL),
    Row("three channels", card("input.channels", 3), 2, "takes 3 channels; this version segments one", ALL),
    Row("a range upside down", card("training.range.pixel_mm", [2.0, 0.7]), 2, "training.range.pixel_mm", ALL),
    Row("fewer classes than the graph", lambda p: _two_labels(p), 2, "gives 4 classes", RUN),
    Row("another divisor than the card", metadata("divisor", lambda _: "8"), 2, "in multiples of 8", RUN),
    Row("a divisor of 0", metadata("divisor", lambda _: "0"), 2, "divisor '0'", RUN),
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
    Row("self-test of schema 2", golden("schema", 2), 2, "schema 2, this version reads 1", _VERIFY),
    Row("self-test with broken base64", golden("image.data", "!!!"), 2, _DAMAGED, _VERIFY),
    Row("self-test with broken zlib", golden("mask.data", "AAAA"), 2, _DAMAGED, _VERIFY),
    Row("self-test as a zip bomb", golden("mask", _packed([2, 8, 8], bytes(2**26))), 2, "holds 129 bytes", _VERIFY),
    Row("self-test of other shapes", golden("mask", _packed([1, 1, 1], b"\0")), 2, "does not fit", _VERIFY),
    Row("self-test of a shape without end", golden("image.shape", [10**400]), 2, _DAMAGED, _VERIFY),
    Row("self-test of infinite voxels", golden("spacing_mm", [1e309, 1, 1]), 2, _DAMAGED, _VERIFY),
    Row("self-test of an infinite shape", golden("image.shape", [1e309]), 2, _DAMAGED, _VERIFY),
    Row("self-test of an object array", golden("image.type", "object"), 2, _DAMAGED, _VERIFY),
    Row("self-test that fills the memory", golden("spacing_mm", [8.0, 999.0, 999.0]), 4, "is broken here", _VERIFY),
    Row("self-test with another mask", metadata(GOLDEN_KEY, _inverted_mask), 4, "have another label", _VERIFY),
    Row("self-test of another graph", golden("graph_sha256", "0" * 64), 4, "weights or graph changed", _VERIFY),
    Row("weights altered", model(_other_weight), 4, "weights or graph changed after export", _VERIFY),
    Row("card altered", card("licence", "mine"), 4, "model card changed after export", _VERIFY),
    Row("card altered, as JSON", both(card("licence", "mine"), options("--json")), 4, "model card changed", _VERIFY),
]

METADATA = [*CARDS, *CARD_FIELDS, *SELF_TESTS]
