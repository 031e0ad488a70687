"""The pages of a run and of a verdict, from their own files."""

from __future__ import annotations

import getpass
import platform
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from page_kit import HOSTILE, cohort, finished_run, write_bench, write_gate

from compress.data.volume import Case
from compress.errors import InputError
from compress.evaluate.verdict import Verdict
from compress.files import read_json, write_json
from compress.report.gate_page import write_gate_page
from compress.report.html import group
from compress.report.page_parts import REASONS_ON_RUN_PAGE
from compress.report.slice_pictures import save_slices
from compress.report.slices import SlicePicture
from compress.rundir import GateFiles
from compress.steps.reporting.facts import gather, paired_difference
from compress.steps.reporting.page import write_run_page
from compress.steps.reporting.pair_pictures import largest_losses, pair_picture
from compress.steps.reporting.sections import headline, speed
from compress.steps.workspace import Workspace


class Reader(HTMLParser):
    """What a page shows, and the names of its elements."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in {"src", "href"}]
        if tag in {"h1", "h2", "style"}:
            self._inside = tag
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            return
        self.words.append(data)
        if self._inside:
            self.headings[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path, sealed_path: Path) -> Workspace:
    return finished_run(tmp_path_factory.mktemp("run"), tiny_phantom, sealed_path)


@pytest.fixture(scope="module")
def markup(ws: Workspace) -> str:
    return write_run_page(ws, gather(ws)).read_text(encoding="utf-8")


def test_the_run_page_tells_the_whole_run(ws, markup):
    found = Reader(markup)
    for words in ("pruned-none", "A/A", "Speed-up 2.00x", "2.00x smaller", "bias ± SD", "name of the model UNet"):
        assert words in found.text, words
    assert "Dice difference (phantom) -0.0100" in found.text
    assert "No gate has judged" in found.text
    assert ws.validation.digest not in found.text and ws.training.digest in found.text
    assert found.tags.count("img") == 5  # scatter, boxes, agreement, beside dense, widths
    assert len(markup.encode()) < 5e6


def test_the_word_phantom_stands_in_every_heading(markup):
    found = Reader(markup)
    assert len([h for h in found.headings if h]) == 9
    assert all("PHANTOM" in heading for heading in found.headings if heading)
    assert "PHANTOM DATA" in found.text


def test_a_page_loads_nothing_and_tells_nobodys_folders(ws, markup):
    found = Reader(markup)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert all(link.startswith(("data:image/png;base64,", "#", "gate/")) for link in found.links)
    plain = re.sub(r"base64,[^\"]*", "", markup)
    for word in (str(ws.run.root.parent), "/tmp", platform.node(), f"/{getpass.getuser()}/", "/etc/"):
        assert word not in plain, word


def test_hostile_names_stay_names(markup):
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in markup
    assert "\x1b" not in markup and "\u202e" not in markup


def test_equal_files_give_equal_bytes_and_pictures_are_kept(ws, markup):
    stage = ws.run.pruned("none")
    before = stage.pairs.stat().st_mtime_ns
    assert write_run_page(ws, gather(ws)).read_text(encoding="utf-8") == markup
    assert stage.pairs.stat().st_mtime_ns == before


def test_a_picture_of_other_networks_is_drawn_again(ws, markup):
    stage = ws.run.pruned("none")
    dense, pruned = gather(ws).networks
    before = stage.pairs.stat().st_mtime_ns, stage.pairs.read_bytes()
    record = read_json(stage.pairs_record)
    write_json(stage.pairs_record, {"inputs": {**record["inputs"], "networks": ["another", "one"]}})
    assert pair_picture(ws, dense, pruned) == stage.pairs
    assert stage.pairs.stat().st_mtime_ns != before[0] and stage.pairs.read_bytes() == before[1]


def test_records_of_another_version_are_named_and_a_missing_benchmark_too(ws, sealed_path, tmp_path):
    path = ws.run.bench("cpu").record
    write_json(path, {"phantom": True})
    try:
        facts = gather(ws)
    finally:
        write_bench(ws, sealed_path)
    text = Reader(group(*headline(facts), *speed(facts, tmp_path)).text).text
    assert "bench/bench-cpu.json is not shown. Not a benchmark report" in text
    assert "Nothing has been timed yet" in text and "Speed-up" not in text


def test_verdicts_stand_above_the_figures(ws):
    folder = ws.run.gate("pruned-none").root
    try:
        reasons = write_gate(folder, dice=0.8).reasons
        without_page = Reader(group(*headline(gather(ws))).text)
        GateFiles(folder).report.write_text("a page")
        refused = Reader(group(*headline(gather(ws))).text)
        write_gate(folder)
        accepted = Reader(group(*headline(gather(ws))).text)
    finally:
        shutil.rmtree(folder)
    assert "REFUSED (PHANTOM)" in refused.text and "Dice RV" in refused.text
    assert (
        refused.links == ["gate/pruned-none/report.html"]
        and f"and {len(reasons) - REASONS_ON_RUN_PAGE} more" in refused.text
    )
    assert without_page.links == [] and without_page.tags.count("li") == len(reasons) > REASONS_ON_RUN_PAGE
    assert "ACCEPTED (PHANTOM)" in accepted.text and "the fastest that the gate accepted" in accepted.text
    assert accepted.text.index("ACCEPTED") < accepted.text.index("Speed-up 2.00x")


@pytest.mark.parametrize(("dice", "word"), [(0.9, "ACCEPTED"), (0.8, "REFUSED")])
def test_the_gate_page(tmp_path, dice, word):
    verdict = write_gate(tmp_path, dice=dice, phantom=False)
    mask = np.eye(20, dtype=np.uint8)
    item = SlicePicture(mask, mask, (mask,), Case("p", "", tmp_path, None))
    save_slices(GateFiles(tmp_path).overlays, [item], "t", {"RV": 1})
    page = write_gate_page(tmp_path)
    markup = page.read_text()
    found = Reader(markup)
    assert page.name == "report.html" and word in found.text and "PHANTOM" not in found.text
    for reason in verdict.reasons:
        assert " ".join(reason.split()) in found.text
    for row in (*verdict.endpoints, *verdict.limits):
        assert row.name in found.text
    assert found.tags.count("img") == 4  # forest, boxes, agreement, overlays
    assert "a" * 64 in found.text and "b" * 64 in found.text
    assert write_gate_page(tmp_path).read_text() == markup


def test_a_gate_on_phantoms_says_so_everywhere(tmp_path):
    write_gate(tmp_path)
    found = Reader(write_gate_page(tmp_path).read_text())
    assert all("PHANTOM" in heading for heading in found.headings if heading)
    assert "The gate left no picture" in found.text


def test_hostile_names_in_a_verdict_stay_names(tmp_path):
    write_gate(tmp_path, names=(HOSTILE, HOSTILE), dice=0.8)
    markup = write_gate_page(tmp_path).read_text(encoding="utf-8")
    assert "script" not in Reader(markup).tags
    assert "\x1b" not in markup and "\u202e" not in markup


@pytest.mark.parametrize("name", ["verdict", "baseline", "candidate"])
def test_a_verdict_without_its_files_is_an_error_and_leaves_no_page(tmp_path, name):
    write_gate(tmp_path)
    getattr(GateFiles(tmp_path), name).unlink()
    with pytest.raises(InputError, match="No such file"):
        write_gate_page(tmp_path)
    assert not GateFiles(tmp_path).report.exists()


def test_a_verdict_of_another_schema_is_an_error(tmp_path):
    verdict = write_gate(tmp_path)
    write_json(GateFiles(tmp_path).verdict, {**verdict.to_json(), "schema": 99})
    with pytest.raises(InputError, match="schema 99"):
        write_gate_page(tmp_path)
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_differences_are_per_patient_and_in_any_order():
    before = {"a_ED": 0.9, "a_ES": 0.7, "b_ED": 0.8}
    after = {"b_ED": 0.9, "a_ES": 0.6, "a_ED": 0.8}
    found = paired_difference(before, after)
    assert found is not None
    assert (found.patients, found.mean) == (2, pytest.approx(0.0))
    assert found.low == pytest.approx(-0.1) and found.high == pytest.approx(0.1)
    assert found == paired_difference(dict(reversed(before.items())), after)
    assert paired_difference(before, {"c_ED": 1.0}) is None
    only = paired_difference({"a_ED": 0.5}, {"a_ED": 0.6})
    assert only is not None and only.low is None and only.mean == pytest.approx(0.1)


def test_the_patients_that_lost_most_are_shown_and_one_of_median_loss():
    dense, pruned = cohort(0.9), cohort(0.8)
    for number, volume in enumerate(pruned.volumes):
        for score in volume.structures.values():
            score.overlap["dice"] = dense.volumes[number].mean_dice - 0.01 * (number // 2)
    assert [name[:3] for name in largest_losses(dense, pruned)] == ["p11", "p10", "p09", "p05"]
    assert len(largest_losses(cohort(0.9, patients="ab"), cohort(0.8, patients="ab"))) == 2
