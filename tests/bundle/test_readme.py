"""The texts of a bundle: derived from the file and its evidence, and silent about what is not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from shipping_kit import make_verdict, quantize_record, scores

from compress.bundle.documents import document, documents
from compress.bundle.shipment import Shipment, licence_id
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_model_file

ACDC = "CC BY-NC-SA 4.0 (trained on ACDC)"
SECTIONS = (
    *("Model details", "Intended use", "Out-of-scope use", "Training data", "How it was made", "Evaluation"),
    *("Limits and risks", "How to run", "In this folder", "Provenance", "Citation", "Licence"),
)


@pytest.fixture
def shipment(sealed_path: Path) -> Shipment:
    """A gated, pruned and quantized network of patients' images whose licence names no data set."""
    file = read_model_file(sealed_path)
    card = read_card(file.metadata, sealed_path)
    plan = {"criterion": "l1", "scope": "local", "align": 16, "default": 0.5, "ratios": {}, "digest": "f" * 64}
    rounding = {"kind": "int8", "source": "a" * 64, "method": "entropy", "float_layers": ["head"], "logit_bound": 0.5}
    card = replace(card, training={**card.training, "phantom": False}, pruning=plan, quantization=rounding)
    return Shipment(
        file=file,
        card=card,
        version="9.9.9",
        verdict=make_verdict(sealed_path, sealed_path, phantom=False),
        scores=scores(lost=2),
        quantization=quantize_record(file.sha256),
        evidence=("candidate.json", "quantize.json", "verdict.json"),
    )


def as_phantom(shipment: Shipment, sealed_path: Path) -> Shipment:
    card = replace(shipment.card, training={**shipment.card.training, "phantom": True})
    verdict = make_verdict(sealed_path, sealed_path, phantom=True)
    record = quantize_record(shipment.file.sha256, phantom=True)
    return replace(shipment, card=card, verdict=verdict, quantization=record)


def licensed(shipment: Shipment, licence: str) -> Shipment:
    return replace(shipment, card=replace(shipment.card, licence=licence))


def head_of(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def body_of(text: str) -> str:
    return text.split("---\n", 2)[2]


def test_every_section_is_there_in_order(shipment: Shipment) -> None:
    found = [line[3:] for line in document("README.md", shipment).splitlines() if line.startswith("## ")]
    assert tuple(found) == SECTIONS


def test_the_head_is_what_the_hub_reads(shipment: Shipment) -> None:
    head = head_of(document("README.md", licensed(shipment, ACDC)))
    assert (head["license"], head["pipeline_tag"], head["datasets"]) == (
        "cc-by-nc-sa-4.0",
        "image-segmentation",
        ["ACDC"],
    )
    assert {"onnx", "pruned", "int8"} <= set(head["tags"]) and "phantom" not in head["tags"]
    (index,) = head["model-index"]
    (result,) = index["results"]
    assert shipment.scores is not None
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values == {
        f"Dice {k}": round(v, 4)
        for k, v in {"mean": shipment.scores.mean_dice, **shipment.scores.structure_dice}.items()
    }
    assert {"type", "name"} <= set(result["dataset"]) and result["task"]["type"] == "image-segmentation"


def test_the_hub_s_own_reader_takes_the_head(shipment: Shipment) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    data = hub.ModelCard(document("README.md", licensed(shipment, ACDC)), ignore_metadata_errors=False).data
    assert data.license == "cc-by-nc-sa-4.0" and len(data.eval_results) == 4


def test_figures_are_those_of_the_evidence(shipment: Shipment) -> None:
    text = body_of(document("README.md", shipment))
    assert shipment.verdict is not None and shipment.scores is not None
    lost = shipment.verdict.endpoints[0].difference
    assert f"| Dice RV |  | 10 | 0 | 1.0000 | {1 + (lost or 0):.4f} | {lost:.4f} |" in text
    assert f"| RV | {shipment.scores.structure_dice['RV']:.4f} |" in text
    assert "0.9112 before, 0.9101 after; 2.31 (2.25 to 2.36) times as fast" in text and "is an improvement" in text
    assert "criterion l1" in text and "layers kept in float: head" in text
    assert shipment.file.sha256 in text and shipment.file.graph_sha256 in text and "cardiocompress 9.9.9" in text
    assert "0.7 to 2 mm" in text and "phantom" not in text.replace("example_phantom", "").lower()


def test_what_is_unknown_is_said_to_be_unknown(shipment: Shipment) -> None:
    bare = replace(shipment.card, architecture={}, range=None, provenance={}, training={}, licence="", intended_use="")
    text = document(
        "README.md", replace(shipment, card=bare, verdict=None, scores=None, quantization=None, evidence=())
    )
    head = head_of(text)
    assert head["license"] == "unknown" and not {"model-index", "metrics", "datasets"} & set(head)
    for words in (
        "Widths: unknown",
        "Range: unknown",
        "Epochs: unknown",
        "Stage: unknown",
        "Unknown: no verdict",
        "What it cost and gained is unknown",
        "Unknown: the file states none",
        "Which data set it is, is unknown",
    ):
        assert words in text, words
    assert "None" not in text


def test_no_figure_of_a_phantom_without_the_word(shipment: Shipment, sealed_path: Path) -> None:
    text = document("README.md", as_phantom(shipment, sealed_path))
    head = head_of(text)
    assert "phantom" in head["tags"] and head["datasets"] == ["phantom"]
    (result,) = head["model-index"][0]["results"]
    assert "phantom" in result["dataset"]["name"]
    assert all("phantom" in metric["name"] for metric in result["metrics"])
    assert body_of(text).lstrip().splitlines()[2].startswith("> **PHANTOM")
    for line in text.splitlines():
        if "Dice" in line and not line.startswith("| Dice"):  # rows stand under a sentence that says it
            assert "phantom" in line.lower(), line


def test_not_gated_stands_at_the_top_of_every_document(shipment: Shipment) -> None:
    refused = documents(replace(shipment, not_gated="the gate refused it (Dice RV)"))
    for name, text in documents(shipment).items():
        assert "NOT GATED" not in text
        body = body_of(refused[name]) if text.startswith("---") else refused[name]
        assert "NOT GATED: the gate refused it (Dice RV)" in body[:400]


def test_the_table_of_contents_is_that_of_this_bundle(shipment: Shipment) -> None:
    text = document("README.md", shipment).partition("## In this folder")[2].partition("##")[0]
    assert "`model.onnx`" in text and "`evidence/`" in text
    assert "baseline.onnx" not in text and "model.sig" not in text
    assert "`model.sig`" in document("README.md", replace(shipment, signed=True))


def test_only_the_licence_says_that_data_is_acdc(shipment: Shipment, sealed_path: Path) -> None:
    for text in (document("README.md", shipment), document("LICENSE-NOTE.md", shipment)):
        assert "trained on ACDC" not in text and "By its licence, ACDC" not in text
    named = licensed(shipment, ACDC)
    assert "By its licence, ACDC" in document("README.md", named)
    for text in (document("README.md", named), document("LICENSE-NOTE.md", named)):
        assert "10.1109/TMI.2018.2837502" in text
    assert "CC BY-NC-SA 4.0 asks" in document("LICENSE-NOTE.md", named)
    phantom = as_phantom(named, sealed_path)
    assert "Bernard" not in document("README.md", phantom) and "No data of patients" in document(
        "LICENSE-NOTE.md", phantom
    )


def test_every_note_says_that_it_is_no_medical_device(shipment: Shipment) -> None:
    assert "no medical device" in document("LICENSE-NOTE.md", shipment) and "no medical device" in document(
        "README.md", shipment
    )


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (ACDC, "cc-by-nc-sa-4.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("MIT", "mit"),
        ("MIT or Apache-2.0", "other"),
        ("Mitigated", "other"),
        ("our own terms", "other"),
        ("not stated", "unknown"),
        ("", "unknown"),
    ],
)
def test_licences_get_the_hub_s_names(stated: str, found: str) -> None:
    assert licence_id(stated) == found


def test_texts_of_a_file_are_no_markup(shipment: Shipment) -> None:
    nasty = "ok\n\n---\n# Cleared <script>alert(1)</script> | a\ud800\x1b[2J `x`"
    card = replace(shipment.card, licence=nasty, intended_use=nasty)
    text = document("README.md", replace(shipment, card=card))
    text.encode()
    assert head_of(text)["license"] == "other"
    assert "<script>" not in text and "\n# Cleared" not in text and "\x1b" not in text
    document("LICENSE-NOTE.md", replace(shipment, card=card)).encode()


def test_the_script_is_python_of_about_twenty_lines(shipment: Shipment) -> None:
    text = document("example.py", replace(shipment, not_gated='it\'s "{odd}" \\ '))
    compile(text, "example.py", "exec")
    assert 15 <= len([line for line in document("example.py", shipment).splitlines() if line.strip()]) <= 25
