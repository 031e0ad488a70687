"""One row says all: what is added to a table is seen by help texts, the configuration and the code that computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from compress.choices import CALIBRATION_METHODS, CRITERIA, CalibrationMethod, Criterion, calibration_methods
from compress.config.read import from_document
from compress.config.templates import config_text
from compress.errors import ConfigError, PlanError
from compress.prune import rank
from compress.runtime.providers import PROVIDERS, Provider

ROOT = Path(__file__).resolve().parent.parent
IMAGE = torch.zeros(1, 1, 8, 8)


def ascending(group, context) -> np.ndarray:
    return np.arange(group.width, dtype=float)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1))


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CRITERIA, "mine", Criterion("the last stay", ascending, aliases=("my_own",)))


def test_a_criterion_is_its_row(mine: None) -> None:
    plan = rank(network(), IMAGE, ratio=0.5, criterion="mine", align="none")
    assert plan.kept == {"0": (3, 4, 5)}
    for word in ("mine", "my_own"):
        assert from_document({"pruning": {"method": word}}).pruning.method == "mine"
    assert "| random | mine\n" in config_text(None, providers=PROVIDERS)
    with pytest.raises(ConfigError, match=r"pruning\.method: input should be 'l1', .*'random' or 'mine', got 'l3'"):
        from_document({"pruning": {"method": "l3"}})
    with pytest.raises(ConfigError, match=r"Unknown pruning\.method 'l3'\. Known: .*mine"):
        rank(network(), IMAGE, criterion="l3")


def test_a_criterion_says_itself_that_it_needs_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_gradient(group, context) -> np.ndarray:
        return np.abs(context.gradients["0.weight"][0].numpy()).sum((1, 2, 3))

    monkeypatch.setitem(CRITERIA, "mine", Criterion("by gradient", by_gradient, needs_gradients=True))
    batch = (torch.ones(2, 1, 8, 8), torch.zeros(2, 6, 6, dtype=torch.long))
    plan = rank(network(), IMAGE, criterion="mine", data=[batch], align="none")
    assert len(plan.kept["0"]) == 3
    with pytest.raises(PlanError, match="no batch"):
        rank(network(), IMAGE, criterion="mine", data=[], align="none")


def test_a_calibration_method_is_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CALIBRATION_METHODS, "mine", CalibrationMethod("some values", "Distribution"))
    assert from_document({"quantization": {"method": "mine"}}).quantization.method == "mine"
    assert calibration_methods("mine") == ("mine",)
    assert calibration_methods("auto") == tuple(CALIBRATION_METHODS)
    assert "| entropy | mine;" in config_text(None, providers=PROVIDERS)
    with pytest.raises(ConfigError, match=r"quantization\.method: input should be 'auto', .* or 'mine', got 'guess'"):
        from_document({"quantization": {"method": "guess"}})
    with pytest.raises(ConfigError, match=r"Unknown calibration method 'guess'\. Known: auto, .*mine"):
        calibration_methods("guess")


def test_a_provider_is_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVIDERS, "mine", Provider("mine", "MineProvider", "my chip", lambda: 5, "Buy it.", 1e-3))
    assert rank(network(), IMAGE, ratio=0.4, align="mine").align == 5
    assert "| openvino | mine\n" in config_text(None, providers=PROVIDERS)
    with pytest.raises(ConfigError, match=r"Unknown provider 'yours'\. Known: cpu, cuda, mine, openvino"):
        rank(network(), IMAGE, align="yours")


_ADD_ROWS = """
import sys
from compress.choices import CALIBRATION_METHODS, CRITERIA, CalibrationMethod, Criterion
from compress.runtime.providers import PROVIDERS, Provider
CRITERIA["mine"] = Criterion("ranks_it", "nowhere:function")
CALIBRATION_METHODS["mine"] = CalibrationMethod("calibrates_it", "Nowhere")
PROVIDERS["mine"] = Provider("mine", "MineProvider", "computes_it", lambda: 8, "Buy it.", 1e-3)
from cli.app import app
for command in ("prune", "quantize", "bench", "plan", "gate", "predict"):
    app([command, "--help"], standalone_mode=False)
heavy = {"torch", "onnxruntime", "numpy", "pydantic"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else 0)
"""


def test_help_shows_every_row_and_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _ADD_ROWS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace("│", " ").split()
    shown = {"ranks_it": 1, "calibrates_it": 1, "computes_it": 4}  # the last by bench, plan, gate and predict
    assert {name: sum(word.startswith(f"({name})") for word in words) for name in shown} == shown


_WITHOUT = """
import sys
sys.modules["onnxruntime"] = None  # as if it were not installed
import torch
from compress.prune import rank
network = torch.nn.Sequential(torch.nn.Conv2d(1, 64, 3), torch.nn.Conv2d(64, 2, 1))
image = torch.zeros(1, 1, 8, 8)
print([len(rank(network, image, ratio=0.4, align=align).kept["0"]) for align in ("none", 16, "cuda")])
"""


def test_pruning_needs_no_onnx_runtime() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[38, 32, 40]\n"), done.stderr
