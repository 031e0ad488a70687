"""Studies shared out: the masks of one process after the other, each study once, whatever dies meanwhile."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest

from compress.data.phantom import write_phantom
from compress.errors import ConfigError, EnvironmentFault
from compress.inference import pool
from compress.inference.jobs import Job
from compress.inference.predict import PredictReport, PredictRequest, predict
from compress.inference.work import Outcome, Worker


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies, and one whose image is no image."""
    folder = write_phantom(tmp_path_factory.mktemp("patients"), patients=4, seed=5)
    (folder / "training/patient003/patient003_frame01.nii.gz").write_bytes(b"no image")
    return folder


@pytest.fixture
def run(sealed_path: Path, patients: Path, tmp_path: Path):
    def call(out: str = "out", **options) -> PredictReport:
        asked = {"model": sealed_path, "source": patients, "out": tmp_path / out, "threads": 1, **options}
        return predict(PredictRequest(**asked))

    return call


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Deadly(Worker):
    """Its process is killed at one study: the first time, or whenever it comes to it."""

    def do(self, job: Job, task=None) -> Outcome:
        mark = self.request.out.with_name("died")
        always = self.request.out.name == "always"
        if job.study == "patient002" and (always or not mark.exists()):
            mark.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        if job.study == "patient002" and self.request.out.name == "full":
            raise EnvironmentFault("No space left on device.")
        return super().do(job)


def _serve_deadly(*arguments) -> None:
    pool.Worker = Deadly  # type: ignore[misc]
    pool._serve(*arguments)


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_target", _serve_deadly)


def test_two_processes_give_what_one_gives(run, tmp_path: Path):
    alone, shared = run("alone"), run("shared", jobs=2)
    assert len(alone.problems) == len(shared.problems) == 1 and len(alone.studies) == 3
    assert content(tmp_path / "alone") == content(tmp_path / "shared")
    assert [study["study"] for study in shared.studies] == ["patient001", "patient002", "patient004"]


def test_a_killed_process_costs_no_study(run, tmp_path: Path, deadly):
    expected = run("alone")
    found = run("once", jobs=2)
    assert (tmp_path / "died").exists() and found.studies == expected.studies
    assert content(tmp_path / "alone") == content(tmp_path / "once")


def test_a_study_that_kills_its_process_again_is_a_problem(run, tmp_path: Path, deadly):
    found = run("always", jobs=2)
    assert [study["study"] for study in found.studies] == ["patient001", "patient004"]
    (lost,) = [problem for problem in found.problems if problem.study == "patient002"]
    assert "was killed by signal 9, 2 times" in lost.message
    rows = list(csv.reader((tmp_path / "always/summary.csv").read_text().splitlines()))
    assert sorted(row[0] for row in rows[1:]) == ["patient001", "patient002", "patient003", "patient004"]
    resumed = run("always", earlier="resume")
    assert resumed.kept == 2 and len(resumed.studies) == 3


def test_what_ends_a_run_ends_all_processes(run, tmp_path: Path, deadly):
    (tmp_path / "died").write_text("")
    with pytest.raises(EnvironmentFault, match="No space left"):
        run("full", jobs=2)
    assert not list((tmp_path / "full").glob(".*"))


def test_no_process_is_too_few(run):
    with pytest.raises(ConfigError, match="at least 1 process"):
        run(jobs=0)


def test_figures_and_log_name_nobody(sealed_path: Path, patients: Path, tmp_path: Path):
    from compress.inference.watch import JsonLog, MetricsFile

    lines: list[str] = []
    figures, log = MetricsFile(tmp_path / "predict.prom"), JsonLog(lines.append)
    request = PredictRequest(sealed_path, patients, tmp_path / "out", threads=1)
    report = predict(request, observers=[figures.study, log.study])
    for each in (figures, log):
        each.end(kept=report.kept, refused=report.unread)
    text = figures.path.read_text()
    assert 'cardiocompress_predict_studies_total{outcome="segmented"} 3.0\n' in text
    assert 'cardiocompress_predict_studies_total{outcome="refused"} 1.0\n' in text
    assert "cardiocompress_predict_study_seconds_count" in text
    told = [json.loads(line) for line in lines]
    assert [line["event"] for line in told] == ["study"] * (3 + (report.unread == 0)) + ["end"]
    images = {image["sha256"] for study in report.studies for image in study["images"]}
    assert images <= {digest for line in told[:-1] for digest in line["images"]}
    assert all("patient" not in each for each in (text, *lines))
