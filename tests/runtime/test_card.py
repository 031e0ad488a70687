from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compress.data.tidy import Tidy, TidyRule
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


def test_the_rules_for_pieces_and_holes_come_back(document: dict[str, Any]) -> None:
    assert "small_pieces" not in document["postprocessing"], "files without the rule are as they were before it"
    rule = TidyRule({"RV": 0.5, "LV": 1.0}, "by hand", ("RV", "MYO"), "by hand", {"MYO": "LV"}, "by hand")
    card = replace(loads(document), tidying=rule)
    written = card.to_json()
    assert written["postprocessing"]["small_pieces"]["connectivity"] == 26
    assert loads(written) == card
    assert card.tidy == Tidy({1: 0.5, 3: 1.0}, (1, 2), {2: 3}, {2: 3})
    with pytest.raises(ModelFileError, match="rules under 'postprocessing'"):
        loads(changed(written, "postprocessing.bare.share", 0.9))
    with pytest.raises(ModelFileError, match="rules under 'postprocessing'"):
        loads(changed(written, "postprocessing.small_pieces.connectivity", 6))
    with pytest.raises(ModelFileError, match="rules under 'postprocessing'"):
        loads(changed(written, "postprocessing.holes.rings", {}))


def test_the_rule_for_a_heart_off_centre_comes_back(document: dict[str, Any]) -> None:
    assert "recentre" not in document["preprocessing"], "files without the rule are as they were before it"
    card = loads(document)
    card = replace(card, preprocessing=replace(card.preprocessing, recentre=2))
    written = card.to_json()
    assert written["preprocessing"]["recentre"]["at_most"] == 2
    assert loads(written) == card
    for place, wrong in [("at_most", 0), ("at_most", 10), ("at_most", True), ("when", "always"), ("more", 1)]:
        with pytest.raises(ModelFileError, match=r"preprocessing"):
            loads(changed(written, f"preprocessing.recentre.{place}", wrong))
    with pytest.raises(ModelFileError, match=r"preprocessing"):
        loads(changed(written, "preprocessing.recentre", 2))


def test_the_card_holds_no_path_and_no_time(document: dict[str, Any], sealed_path: Path) -> None:
    text = json.dumps(document)
    assert str(sealed_path.parent) not in text
    assert str(Path.home()) not in text
    assert re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", text) is None


def changed(document: dict[str, Any], place: str, *value: object) -> dict[str, Any]:
    """A copy whose field at `place`, such as "input.size", has this value; without one it is gone."""
    copy = inner = json.loads(json.dumps(document))
    *above, last = place.split(".")
    for key in above:
        inner = inner[key]
    inner.pop(last, None)
    if value:
        (inner[last],) = value
    return copy


def test_every_field_is_needed_and_of_its_own_type(document: dict[str, Any]) -> None:
    inner = ("input", "output", "training.range", "preprocessing")
    places = [*document, "training.range"]
    for place in inner:
        found = document
        for key in place.split("."):
            found = found[key]
        places += [f"{place}.{key}" for key in found]
    for place in places:
        for wrong in ((), (7.5,)):
            with pytest.raises(ModelFileError, match=rf"m\.onnx.*{place.partition('.')[0]}"):
                loads(changed(document, place, *wrong))


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
    ("schema", "cure"), [(3, "Update cardiocompress"), (0, "Export"), ("1", "Export"), (True, "Export"), (1.0, None)]
)
def test_another_schema_is_never_guessed_at(schema: object, cure: str | None, document: dict[str, Any]) -> None:
    if cure is None:
        assert loads({**document, "schema": schema})  # JSON does not tell 1.0 from 1
        return
    with pytest.raises(ModelFileError, match=f"this version reads schema 1 and 2. {cure}"):
        loads({**document, "schema": schema})


FORGED = [
    ("labels", {}, "labels"),
    ("labels", {"RV": 0, "MYO": 1, "LV": 2}, "labels"),
    ("labels", {"RV": 1, "MYO": 1, "LV": 3}, "labels"),
    ("labels", {"RV": 1, "MYO": 2, "LV": 4}, "1 to the number of structures"),
    ("labels", {"RV": True, "MYO": 2, "LV": 3}, "'labels.RV' is true"),
    ("labels", {f"S{n}": n for n in range(1, 301)}, "labels"),
    ("labels", {"../x": 1, "MYO": 2, "LV": 3}, "holding the name '../x'"),
    ("preprocessing.size", [10**6, 10**6], "not two numbers from 8 to 1024"),
    ("preprocessing.size", [32, 32, 32], "not two numbers"),
    ("preprocessing.size", [32.5, 32], "preprocessing"),
    ("preprocessing.spacing_mm", [0, 1.5], "not two numbers from 0.1 to 20"),
    ("preprocessing.spacing_mm", "66", "not two numbers"),
    ("preprocessing.clip_percentiles", [99.5, 0.5], "contradictory"),
    ("preprocessing.clip_percentiles", [50, 50], "contradictory"),
    ("preprocessing.clip_percentiles", [0, 101], "from 0 to 100"),
    ("preprocessing.resample.order", 1, "rules under 'preprocessing'"),
    ("preprocessing.denoise", [3], "preprocessing"),
    ("postprocessing.decision", "first", "rules under 'postprocessing'"),
    ("postprocessing.small_pieces", {"shares": {"LV": 0.5}, "chosen": "x"}, "rules under 'postprocessing'"),
    ("postprocessing.small_pieces", {"shares": {"LV": 0}, "chosen": "x"}, "not a share above 0 and up to 1"),
    ("postprocessing.small_pieces", {"shares": {"LV": True}, "chosen": "x"}, "not a share above 0 and up to 1"),
    ("postprocessing.small_pieces", {"shares": {"LA": 0.5}, "chosen": "x"}, "for some of the structures"),
    ("postprocessing.small_pieces", {"shares": {}, "chosen": "x"}, "for some of the structures"),
    ("postprocessing.small_pieces", {"shares": {"LV": 0.5}}, "postprocessing.small_pieces.chosen"),
    ("postprocessing.small_pieces", [], "postprocessing.small_pieces"),
    ("postprocessing.holes", {"structures": ["RV"], "chosen": "x"}, "rules under 'postprocessing'"),
    ("postprocessing.holes", {"structures": ["LV", "RV"], "chosen": "x"}, "not some of RV, MYO, LV"),
    ("postprocessing.holes", {"structures": [[]], "chosen": "x"}, "not some of RV, MYO, LV"),
    ("postprocessing.holes", {"structures": [], "chosen": "x"}, "not some of RV, MYO, LV"),
    ("postprocessing.holes", {"structures": ["RV"]}, "postprocessing.holes.chosen"),
    ("postprocessing.bare", {"rings": {"MYO": "LV"}, "chosen": "x"}, "rules under 'postprocessing'"),
    ("postprocessing.bare", {"rings": {}, "chosen": "x"}, "not some of"),
    ("postprocessing.bare", {"rings": {"LV": "MYO"}, "chosen": "x"}, "not some of"),
    ("postprocessing.bare", {"rings": {"MYO": ["LV"]}, "chosen": "x"}, "not some of"),
    ("postprocessing.bare", {"rings": {"MYO": "LV"}}, "postprocessing.bare.chosen"),
    ("tta", "flips", "rules under 'tta'"),
    ("input.channels", 65, "65; 64 at most"),
    ("input.multiple_of", 5, "no multiple of 5"),
    ("input.multiple_of", 0, "'input.multiple_of' is 0"),
    ("input.multiple_of", -1, "not from 1 to 1024"),
    ("input.multiple_of", 10**9, "not from 1 to 1024"),
    ("training.range.pixel_mm", ["a", 1], "training.range.pixel_mm"),
    ("training.range.pixel_mm", [2.0, 0.7], "training.range.pixel_mm"),
]


@pytest.mark.parametrize(("place", "value", "said"), FORGED)
def test_a_forged_value_is_named(place: str, value, said: str, document: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match=said):
        loads(changed(document, place, value))


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"schema": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match=r"m\.onnx"):
        ModelCard.loads(text, PATH)


@pytest.mark.parametrize("number", ["9" * 5000, "1e400"])
def test_a_number_without_end_is_no_json(number: str, document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert text.count("null") == 1
    with pytest.raises(ModelFileError, match=r"m\.onnx.*is not JSON"):
        ModelCard.loads(text.replace("null", number), PATH)


def test_a_key_twice_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="'tta' stands there twice"):
        ModelCard.loads(json.dumps(document)[:-1] + ', "tta": "none"}', PATH)


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
