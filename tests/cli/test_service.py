"""`predict` as a service runs it."""

from __future__ import annotations

import json
from pathlib import Path

from hostile_kit import make_place


def test_a_service_reads_figures_and_json_lines(tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    done = command(*place.arguments("predict"), "--jobs", "2", "--log-json", "--metrics", tmp_path / "figures.prom")
    assert (done.code, done.err) == (0, "")
    study, end = (json.loads(line) for line in done.out.splitlines())
    assert (study["event"], study["outcome"], end["event"], end["studies"]) == ("study", "segmented", "end", 1)
    assert "heart" not in done.out and str(tmp_path) not in done.out
    assert 'studies_total{outcome="segmented"} 1.0' in (tmp_path / "figures.prom").read_text()


def test_what_a_service_cannot_do_is_one_line(tmp_path: Path, sealed_path: Path, command) -> None:
    place = make_place(tmp_path, sealed_path)
    refused = command(*place.arguments("predict"), "--engine", "slurm")
    assert refused.code == 2 and "slurm" in refused.err and "local, ray" in refused.err
    (tmp_path / "file").write_text("")
    refused = command(*place.arguments("predict"), "--metrics", tmp_path / "file" / "figures.prom")
    assert refused.code == 2 and refused.err.count("\n") == 1 and not place.out.exists()
