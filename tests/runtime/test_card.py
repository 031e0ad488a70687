from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from compress.errors import ModelFileError
from compress.runtime.card import KEY, SCHEMA, ModelCard, read_card
from compress.runtime.modelfile import read_metadata

PATH = Path("m.onnx")


@pytest.fixture
def document(sealed_path: Path) -> dict[str, Any]:
    return json.loads(read_metadata(sealed_path)[KEY])


def loads(document: object) -> ModelCard:
    return ModelCard.loads(json.dumps(document), PATH)


def test_the_card_comes_back_as_it_was_written(document: dict[str, Any]) -> None:
    card = loads(document)
    assert loads(card.to_json()) == card
    assert card.to_json() == document
    assert card.labels == {"RV": 1, "MYO": 2, "LV": 3}
    assert card.range is not None and card.range.slices == (6, 18)
    assert card.phantom


def test_the_card_says_all_that_the_issue_of_running_it_takes(document: dict[str, Any]) -> None:
    assert document["schema"] == SCHEMA
    assert document["input"]["layout"] == "slice, channel, row, column"
    assert document["input"]["multiple_of"] == 4
    assert document["output"]["classes"] == ["background", "RV", "MYO", "LV"]
    assert document["preprocessing"]["resample"]["order"] == 3
    assert document["preprocessing"]["normalise"]["then"].startswith("z-score")
    assert document["preprocessing"]["crop_pad"]["anchor"] == "centre"
    assert document["tta"] == "none"
    assert set(document["colours"]) == {"RV", "MYO", "LV"}
    assert set(document["provenance"]["versions"]) == {"cardiocompress", "torch", "onnx"}
    assert document["licence"] and document["intended_use"]


def test_the_card_holds_no_path_and_no_time(document: dict[str, Any], sealed_path: Path) -> None:
    text = json.dumps(document)
    assert str(sealed_path.parent) not in text
    assert str(Path.home()) not in text
    assert re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", text) is None


def test_every_field_is_needed(document: dict[str, Any]) -> None:
    for key in document:
        less = {name: value for name, value in document.items() if name != key}
        with pytest.raises(ModelFileError, match=r"m\.onnx"):
            loads(less)


@pytest.mark.parametrize("wrong", [None, True, 1.5, "x", [], {}, -1, 10**9])
def test_no_field_may_be_of_another_type(wrong: object, document: dict[str, Any]) -> None:
    for key in document:
        if wrong == document[key] or (key in ("provenance", "architecture", "pruning") and wrong in ({}, None)):
            continue
        if key in ("licence", "intended_use") and isinstance(wrong, str):
            continue
        if key == "colours" and wrong == {}:
            continue
        with pytest.raises(ModelFileError, match=r"m\.onnx"):
            loads({**document, key: wrong})


@pytest.mark.parametrize(
    ("schema", "cure"), [(2, "Update cardiocompress"), (0, "Export"), ("1", "Export"), (True, "Export"), (1.0, None)]
)
def test_another_schema_is_never_guessed_at(schema: object, cure: str | None, document: dict[str, Any]) -> None:
    if cure is None:
        assert loads({**document, "schema": schema})  # JSON does not tell 1.0 from 1
        return
    with pytest.raises(ModelFileError, match=f"this version reads schema 1. {cure}"):
        loads({**document, "schema": schema})


FORGED = {
    "a doubled label": (("labels",), {"RV": 1, "MYO": 1, "LV": 3}, "labels"),
    "a label of 0": (("labels",), {"RV": 0, "MYO": 1, "LV": 2}, "labels"),
    "a label with a path": (("labels",), {"../x": 1, "MYO": 2, "LV": 3}, "holding the name '../x'"),
    "a window that fills the memory": (("preprocessing", "size"), [10**6, 10**6], "not two numbers from 8 to 1024"),
    "a spacing of 0": (("preprocessing", "spacing_mm"), [0, 1.5], "not two numbers"),
    "percentiles the wrong way": (("preprocessing", "clip_percentiles"), [99.5, 0.5], "contradictory"),
    "a window that does not fit": (("input", "multiple_of"), 5, "no multiple of 5"),
    "another interpolation": (("preprocessing", "resample"), {"order": 1}, "rules under 'preprocessing'"),
    "test-time augmentation": (("tta",), "flips", "rules under 'tta'"),
    "three channels": (("input", "channels"), 3, "takes 3 channels"),
    "a range the wrong way round": (("training", "range", "pixel_mm"), ["a", 1], "training.range.pixel_mm"),
}


@pytest.mark.parametrize(("place", "value", "said"), FORGED.values(), ids=FORGED)
def test_a_forged_value_is_named(place, value, said: str, document: dict[str, Any]) -> None:
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ModelFileError, match=said):
        loads(document)


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"schema": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match=r"m\.onnx"):
        ModelCard.loads(text, PATH)


def test_a_file_without_a_card_says_how_to_get_one() -> None:
    with pytest.raises(ModelFileError, match=r"does not say how its images are prepared.*cardiocompress export"):
        read_card({"divisor": "2"}, PATH)


QUANTIZED = {"kind": "int8", "source": "a" * 64, "logit_bound": 0.25, "method": "entropy", "float_layers": ["head"]}


def test_a_quantized_file_says_so_and_how_far_its_self_test_may_move(document: dict[str, Any]) -> None:
    assert "quantization" not in loads(document).to_json(), "files in float32 are as they always were"
    card = loads({**document, "quantization": QUANTIZED})
    assert card.quantization == QUANTIZED and loads(card.to_json()) == card
    assert card.logit_bound(1e-3) == 0.25 and card.logit_bound(1.0) == 1.0
    assert loads(document).logit_bound(1e-3) == 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 8},
        {"source": None},
        {"logit_bound": 0},
        {"logit_bound": 1e9},
        {"logit_bound": True},
        {"logit_bound": "1"},
    ],
)
def test_a_forged_quantization_is_named(change: dict[str, Any], document: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match=f"quantization.{next(iter(change))}"):
        loads({**document, "quantization": {**QUANTIZED, **change}})
    with pytest.raises(ModelFileError, match="'quantization' is null"):
        loads({**document, "quantization": None})
