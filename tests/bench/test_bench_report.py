from __future__ import annotations

import dataclasses
import getpass
import json
import platform
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from compress.bench import environment
from compress.bench.latency import LatencySamples, measure_latency
from compress.bench.memory import MemoryReport
from compress.bench.model_facts import ModelFacts, read_facts
from compress.bench.report import BenchReport, build_report
from compress.bench.stats import median
from compress.bench.table import markdown, table
from compress.errors import InputError
from compress.files import digest_file
from compress.runtime import machine
from compress.runtime.session import open_session

MEMORY = MemoryReport(peak_bytes=100 * 2**20, imports_bytes=40 * 2**20, gpu_bytes=None)
DICE = {"dense": {"mean": 0.91, "RV": 0.9}, "small": {"mean": 0.89, "RV": 0.8765}}


def _facts(macs: int) -> ModelFacts:
    return ModelFacts(file_bytes=2**21, parameters=2_750_000, macs=macs, widths={"head": 4})


@pytest.fixture
def report(tiny_path: Path) -> BenchReport:
    """A model half as slow with a quarter of the operations; times are made up."""
    rng = np.random.default_rng(0)
    dense = tuple(0.1 + 0.001 * rng.random(70))
    latency = LatencySamples(
        (4, 1, 8, 8), "dense", {"dense": dense, "small": tuple(t / 2 for t in dense)}, tuple(t * 1.01 for t in dense)
    )
    session = open_session(tiny_path, threads=1)
    return build_report(
        latency,
        {"dense": session, "small": session},
        memory={"dense": MEMORY, "small": dataclasses.replace(MEMORY, peak_bytes=None, warnings=("No peak.",))},
        facts={"dense": _facts(4_000_000_000), "small": _facts(1_000_000_000)},
        dice=DICE,
        phantom=True,
    )


def test_figures_follow_from_the_samples(report: BenchReport) -> None:
    dense, small = report.models
    assert small.speedup.median == pytest.approx(2.0)
    assert small.mac_reduction == 4.0
    assert small.efficiency == pytest.approx(0.5)
    assert dense.efficiency == 1.0
    assert small.images_per_s == pytest.approx(4 / small.median_s)
    assert small.p90_s is not None
    assert report.control_ratio.median == pytest.approx(1 / 1.01)
    assert report.warnings == ("small: No peak.",)


def test_a_report_names_the_files_it_speaks_of(report: BenchReport, tiny_path: Path) -> None:
    assert {model.sha256 for model in report.models} == {digest_file(tiny_path)}


def test_json_round_trip_is_exact(report: BenchReport) -> None:
    for found in (report, _on_gpu(report)):
        text = json.dumps(found.to_json(), allow_nan=False)
        assert BenchReport.from_json(json.loads(text)) == found


def _on_gpu(report: BenchReport) -> BenchReport:
    """As if the smaller model had been measured on a GPU."""
    dense, small = report.models
    times = tuple(t / 3 for t in small.latency_s)
    small = dataclasses.replace(
        small, device_latency_s=times, device_median_s=median(times), gpu_memory_bytes=300 * 2**20
    )
    return dataclasses.replace(report, models=(dense, small))


def test_gpu_columns_stand_only_where_they_were_measured(report: BenchReport) -> None:
    assert not {"GPU memory (MiB)", "Median without copies (ms)"} & set(table(report)[0])
    heads, rows = table(_on_gpu(report))
    dense, small = (dict(zip(heads, rows[i], strict=True)) for i in (0, 2))
    assert (small["GPU memory (MiB)"], dense["GPU memory (MiB)"]) == ("300", "-")
    assert dense["Median without copies (ms)"] == "-"
    assert float(small["Median without copies (ms)"]) == pytest.approx(float(small["Median (ms)"]) / 3, abs=0.01)


def test_every_node_is_placed_and_counted(report: BenchReport) -> None:
    placed = report.models[0].placement
    assert [node.operator for node in placed] == ["Conv", "Relu", "MaxPool", "ConvTranspose", "Concat", "Conv"]
    assert {node.provider for node in placed} == {"cpu"}
    assert "Nodes of dense, small: cpu: 6 of 6 nodes." in markdown(report)


def test_settings_and_machine_are_recorded(report: BenchReport, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = report.models[0].settings
    assert settings is not None
    assert (settings.inter_threads, settings.spinning, settings.tf32_set) == (1, "on", None)
    assert settings.onnxruntime == ort.__version__ and "git-commit-id" in settings.build
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2", "avx512f", "amx_int8", "fpu"}))
    found = environment.current_environment()
    assert (found.omp_num_threads, found.cpu_features) == ("3", ("avx2", "avx512f", "amx_int8"))
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(machine, "cpu_flags", lambda: None)
    assert environment.current_environment().omp_num_threads is None
    assert environment.current_environment().cpu_features is None


@pytest.mark.parametrize("wrong", [{}, {"models": 3}])
def test_other_json_is_refused(wrong: dict, report: BenchReport) -> None:
    value = {**report.to_json(), **wrong} if wrong else {}
    with pytest.raises(InputError, match=r"Not a benchmark report: .*Run the benchmark again"):
        BenchReport.from_json(value)


def test_the_table_has_every_column_and_row(report: BenchReport) -> None:
    heads, rows = table(report)
    assert [row[0] for row in rows] == ["dense", "dense (A/A)", "small"]
    assert all(len(row) == len(heads) for row in rows)
    small = dict(zip(heads, rows[2], strict=True))
    assert small["Speed-up (95% interval)"] == "2.00 (2.00 to 2.00)"
    assert small["Peak memory (MiB)"] == "-"
    assert small["File (MiB)"] == "2.00"
    assert small["Parameters"] == "2.75M"
    assert small["MACs"] == "1.00G"
    assert small["Efficiency"] == "0.50"
    assert small["Dice RV (phantom)"] == "0.8765"


def test_phantom_is_said_exactly_when_it_is_true(report: BenchReport) -> None:
    assert "measured on phantom images" in markdown(report)
    real = markdown(dataclasses.replace(report, phantom=False))
    assert "hantom" not in real
    assert "Dice RV |" in real


def test_without_data_there_is_no_dice_column(report: BenchReport) -> None:
    models = tuple(dataclasses.replace(model, dice=None) for model in report.models)
    assert not any("Dice" in head for head in table(dataclasses.replace(report, models=models))[0])


def test_markdown_shows_machine_and_warnings(report: BenchReport) -> None:
    text = markdown(report)
    assert report.environment.cpu in text
    assert "70 interleaved rounds, 1 thread(s)" in text
    assert "- small: No peak." in text


def test_no_host_name_and_no_path_is_told(report: BenchReport, tmp_path: Path) -> None:
    text = json.dumps(report.to_json()) + markdown(report)
    for private in (str(tmp_path), str(Path.home()), ".onnx"):
        assert private not in text
    for word in (platform.node(), getpass.getuser()):
        if len(word) > 4:  # a short name may be part of any other word
            assert word not in text


def test_a_missing_figure_is_an_error(tiny_path: Path) -> None:
    latency = LatencySamples((1, 1, 8, 8), "a", {"a": (1.0,)}, (1.0,))
    session = open_session(tiny_path, threads=1)
    with pytest.raises(InputError, match="The benchmark lacks the memory of: a"):
        build_report(latency, {"a": session}, memory={}, facts={"a": _facts(1)})
    with pytest.raises(InputError, match="lacks the Dice of: a"):
        build_report(latency, {"a": session}, memory={"a": MEMORY}, facts={"a": _facts(1)}, dice={})


def test_a_real_measurement_fills_a_report(tiny_path: Path) -> None:
    sessions = {"a": open_session(tiny_path, threads=1), "b": open_session(tiny_path, threads=1, spinning="off")}
    latency = measure_latency(sessions, shape=(1, 1, 8, 8), rounds=3, warmup=1)
    facts = {name: read_facts(tiny_path, shape=(1, 1, 8, 8)) for name in sessions}
    found = build_report(latency, sessions, memory=dict.fromkeys(sessions, MEMORY), facts=facts)
    assert all(model.provider_proven == "cpu" and model.p90_s is None for model in found.models)
    assert markdown(found).count("\n| ") == 4
