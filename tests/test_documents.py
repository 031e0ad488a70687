"""No text that comes from a file becomes markup: documents have the same structure whatever a name is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from document_kit import HARMLESS, HOSTILE, markdown_structure, python_structure, texts, with_text
from jinja2 import UndefinedError
from page_kit import cohort, finished_run, write_gate
from shipping_kit import make_verdict, quantize_record, scores

from compress.bench.report import BenchReport
from compress.bench.table import markdown as bench_markdown
from compress.bundle.contents import CONTENTS
from compress.bundle.documents import document
from compress.bundle.shipment import Shipment
from compress.evaluate.verdict import Verdict
from compress.evaluate.verdict_table import markdown as verdict_markdown
from compress.files import read_json, write_json
from compress.report.gate_page import write_gate_page
from compress.rundir import GateFiles, ScoreFiles
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_model_file
from compress.steps.networks import stages_of
from compress.steps.reporting.facts import gather
from compress.steps.reporting.markdown import write_report
from compress.steps.reporting.summary import comparison_rows, summarise
from compress.steps.workspace import Workspace
from compress.text import markdown_table

IN_A_NAME = HOSTILE.replace("/", ":")


@pytest.fixture
def shipment(sealed_path: Path) -> Shipment:
    """A pruned and quantized network with all that can be known of it; refused, so that reasons are shown."""
    file = read_model_file(sealed_path)
    card = read_card(file.metadata, sealed_path)
    plan = {"criterion": "l1", "scope": "local", "align": "max", "default": "half", "ratios": {"a": "b"}, "digest": "f"}
    rounding = {"kind": "int8", "method": "entropy", "float_layers": ["head"]}
    made = {"stage": "pruned", "parent": "e", "network": "d", "versions": {"torch": "2.9"}}
    training = {"phantom": False, "data": "c", "epochs": "many"}
    card = replace(card, training=training, pruning=plan, quantization=rounding, provenance=made, licence="our own")
    return Shipment(
        file=file,
        card=card,
        version="9.9.9",
        not_gated="refused",
        baseline=file,
        verdict=make_verdict(sealed_path, sealed_path, accepted=False, phantom=False),
        scores=scores(lost=2),
        quantization=quantize_record(file.sha256),
        evidence=("candidate.json", "quantize.json"),
    )


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path, sealed_path: Path) -> Workspace:
    return finished_run(tmp_path_factory.mktemp("run"), tiny_phantom, sealed_path)


def check(record: Any, write: Callable[[Any], str], structure: Callable[[str], object] = markdown_structure) -> None:
    """The document of `record` has the same structure with any of its texts hostile as with it harmless."""
    changed = 0
    for old in sorted(texts(record)):
        try:
            hostile, harmless = (write(with_text(record, old, new)) for new in (HOSTILE, HARMLESS))
        except (KeyError, UndefinedError):  # the name of a field
            continue
        assert structure(hostile) == structure(harmless), old
        body = hostile.rpartition("\n---\n")[2]
        assert structure is not markdown_structure or "<script" not in body.replace("\\<", ""), old
        changed += hostile != harmless
    assert changed, "no text of the record is shown"


@pytest.mark.parametrize("name", [row.path for row in CONTENTS if row.template])
def test_a_bundle_s_documents(name: str, shipment: Shipment) -> None:
    structure = python_structure if name.endswith(".py") else markdown_structure
    check(shipment, lambda shipment: document(name, shipment), structure)


def test_a_verdict(shipment: Shipment) -> None:
    check(shipment.verdict, verdict_markdown)


def test_scores() -> None:
    check(cohort(0.9, patients=("p1", "p2", "p3")), lambda report: report.to_markdown())


def test_a_benchmark(ws: Workspace) -> None:
    check(BenchReport.from_json(read_json(ws.run.bench("cpu").record)), bench_markdown)


def test_the_table_of_a_sweep(ws: Workspace) -> None:
    rows = [summarise(ws, name, stage) for name, stage in stages_of(ws).items()]
    check(rows, lambda rows: markdown_table(*comparison_rows(rows, phantom=True)))


def test_what_a_run_s_report_is_told(ws: Workspace) -> None:
    check(gather(ws), lambda facts: write_report(ws, facts).read_text(encoding="utf-8"))


def test_a_run_s_report(ws: Workspace) -> None:
    found = []
    stage, table = ws.run.pruned("none").root, ws.run.bench("cpu").record
    for name in (HARMLESS, IN_A_NAME):
        stage, table = stage.rename(stage.with_name(name)), table.rename(table.with_name(f"bench-{name}.json"))
        ScoreFiles(ws.run.pruned(name).evaluation).table.write_text("Scores.\n", encoding="utf-8")
        ws.run.bench(name).plot.write_bytes(b"")
        found.append(markdown_structure(write_report(ws, gather(ws)).read_text(encoding="utf-8")))
    assert found[0] == found[1] and str(found[0]).count("image") == 2


def test_the_page_of_a_verdict(tmp_path: Path) -> None:
    tags = []
    for new in (HARMLESS, HOSTILE):
        write_gate(tmp_path, dice=0.8)
        path = GateFiles(tmp_path).verdict
        verdict = Verdict.from_json(read_json(path))
        for old in texts(verdict) - {"lower", "higher"}:
            verdict = with_text(verdict, old, f"{new} {old}")
        write_json(path, verdict.to_json())
        seen: list[str] = []
        reader = HTMLParser()
        reader.handle_starttag = lambda tag, attrs, seen=seen: seen.append(tag)  # type: ignore[method-assign]
        reader.feed(write_gate_page(tmp_path).read_text(encoding="utf-8"))
        tags.append(seen)
    assert tags[0] == tags[1] and "script" not in tags[1]
