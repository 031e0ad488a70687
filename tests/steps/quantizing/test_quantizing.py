"""`quantize`: the search for layers, and a file that is kept only when it is an improvement."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_kit import tiny_workspace

from compress.bench.latency import LatencySamples
from compress.bench.precision import PrecisionTimes
from compress.config import Quantization
from compress.config.read import from_document
from compress.errors import CheckpointError, ConfigError, EnvironmentFault, GateError, ModelFileError, ProviderError
from compress.export.onnx import export_onnx
from compress.export.quantize import convolutions
from compress.export.seal import seal
from compress.progress import SILENT
from compress.runtime import machine
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_model_file
from compress.runtime.segmenter import Segmenter
from compress.runtime.verify import verify
from compress.steps.exporting.export import card_of
from compress.steps.quantizing import quantize as quantizing
from compress.steps.quantizing import search as searching
from compress.steps.quantizing.quantize import calibration_images, quantize
from compress.steps.quantizing.search import Search
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace


@pytest.fixture(scope="module")
def ws(tiny_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Shared: its volumes are prepared once."""
    chosen = ("quantization.method=minmax", "quantization.budget=0.9", "quantization.slices=6")
    return tiny_workspace(tmp_path_factory.mktemp("runs"), tiny_phantom, *chosen, features=(8, 8))


def told(ws: Workspace, **changed: object) -> Workspace:
    """The same with other values in `quantization`."""
    chosen = Quantization.model_validate({**ws.config.quantization.model_dump(), **changed})
    return Workspace(ws.config.model_copy(update={"quantization": chosen}))


@pytest.fixture(scope="module")
def exported(ws: Workspace) -> bytes:
    dense = dense_checkpoint(ws)
    return seal(export_onnx(dense.network, ws.run.root / "m.onnx", divisor=4), card_of(ws, dense)).read_bytes()


@pytest.fixture
def model(exported: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(exported)
    return path


def pretend(monkeypatch: pytest.MonkeyPatch, times_as_fast: float) -> None:
    """Timing is the machine's; what follows from it is ours."""

    def measured(models, *, shape, **_):
        base = tuple(1.0 + 0.001 * i for i in range(9))
        names = list(models)
        samples = {names[0]: base, names[1]: tuple(t / times_as_fast for t in base)}
        return LatencySamples(shape, names[0], samples, base)

    monkeypatch.setattr(quantizing, "time_files", measured)
    monkeypatch.setattr(Search, "slower", lambda search, calibration: ())


def beside(model: Path) -> list[str]:
    return sorted(path.name for path in model.parent.iterdir())


def test_a_faster_file_is_kept_with_its_record(ws, model, monkeypatch):
    pretend(monkeypatch, 2.0)
    made = quantize(ws, model)
    assert beside(model) == ["model.int8.onnx", "model.int8.quantize.json", "model.onnx"]
    record = json.loads((model.parent / "model.int8.quantize.json").read_text())
    assert record["improvement"] is True and record["phantom"] is True
    assert record["speedup"]["median"] == pytest.approx(2.0)
    assert record["file"]["sha256"] == read_model_file(made.path).sha256
    assert record["source"]["sha256"] == read_model_file(model).sha256
    assert record["dice_after"]["mean"] == made.after.mean_dice
    assert [trial["method"] for trial in record["trials"]] == ["minmax"]


def test_the_file_says_what_it_is_and_passes_its_own_test(ws, model, monkeypatch):
    pretend(monkeypatch, 2.0)
    made = quantize(ws, model)
    file = read_model_file(made.path)
    card, original = (read_card(read_model_file(p).metadata, p) for p in (made.path, model))
    assert card.quantization is not None
    assert card.quantization["source"] == read_model_file(model).graph_sha256 != file.graph_sha256
    assert (card.quantization["kind"], card.quantization["method"]) == ("int8", "minmax")
    assert card.weight_bits == card.quantization["weight_bits"] == 7
    assert (card.quantization["provider"], card.quantization["bound_provider"]) == ("cpu", "cpu")
    assert card.quantization["calibration"] == {"data": ws.training.digest, "slices": 6}
    assert replace(card, quantization=None) == original
    assert verify(made.path).verdict == "bit-equal"
    Segmenter(made.path)  # refuses files that were altered after sealing


def test_equal_inputs_give_equal_files(ws, model, monkeypatch, tmp_path):
    pretend(monkeypatch, 2.0)
    files = [quantize(ws, model, out=tmp_path / f"{n}.onnx").path.read_bytes() for n in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize("times_as_fast", [0.8, 1.0])
def test_a_file_that_is_not_faster_is_no_improvement_and_is_not_written(ws, model, monkeypatch, times_as_fast):
    pretend(monkeypatch, times_as_fast)
    with pytest.raises(GateError, match=r"INT8 is no improvement here: .* times as fast as the float file"):
        quantize(ws, model)
    assert beside(model) == ["model.onnx"]


def test_keep_writes_it_and_still_does_not_call_it_an_improvement(ws, model, monkeypatch):
    pretend(monkeypatch, 0.8)
    assert quantize(told(ws, keep=True), model).path.is_file()
    assert json.loads((model.parent / "model.int8.quantize.json").read_text())["improvement"] is False


def test_a_budget_that_no_choice_holds_is_refused(ws, model, monkeypatch):
    pretend(monkeypatch, 2.0)
    real = quantizing.score_cohort

    def scored(*arguments, name, **more):
        return real(*arguments, name=name, **more) if "float file" in name else SimpleNamespace(mean_dice=-1.0)

    monkeypatch.setattr(quantizing, "score_cohort", scored)
    with pytest.raises(GateError, match=r"No choice of INT8 layers keeps the Dice at"):
        quantize(told(ws, budget=0.0), model)
    assert beside(model) == ["model.onnx"]


def test_half_precision_is_made_the_same_way(ws, model, monkeypatch):
    pretend(monkeypatch, 2.0)
    made = quantize(told(ws, kind="fp16", provider="cpu"), model)
    assert made.path.name == "model.fp16.onnx" and made.method is None
    assert verify(made.path).ok


def test_cuda_is_refused_before_anything_is_computed(ws, model):
    with pytest.raises(ProviderError, match="cuda"):
        quantize(told(ws, kind="fp16", provider="cuda"), model)
    assert beside(model) == ["model.onnx"]


def test_eight_bit_weights_need_vnni_where_they_are_made_and_where_they_run(ws, model, monkeypatch):
    pretend(monkeypatch, 2.0)
    x86 = frozenset({"sse2", "avx2"})
    monkeypatch.setattr(machine, "cpu_flags", lambda: x86)
    with pytest.raises(EnvironmentFault, match=r"weights of 8 bits; on a processor without VNNI"):
        quantize(told(ws, weights=8), model)
    assert beside(model) == ["model.onnx"]
    assert quantizing._Job(model, told(ws, weights="auto").config.quantization, "cpu", ws.config.bench).bits == 7
    monkeypatch.setattr(machine, "cpu_flags", lambda: x86 | {"avx512_vnni"})
    made = quantize(told(ws, weights="auto"), model)
    assert read_card(read_model_file(made.path).metadata, made.path).weight_bits == 8
    Segmenter(made.path)
    monkeypatch.setattr(machine, "cpu_flags", lambda: x86)
    for use in (Segmenter, verify):
        with pytest.raises(EnvironmentFault, match=r"model\.int8\.onnx has INT8 weights of 8 bits"):
            use(made.path)


def test_what_cannot_be_quantized(ws, model, monkeypatch, tmp_path):
    pretend(monkeypatch, 2.0)
    made = quantize(ws, model)
    with pytest.raises(ModelFileError, match=r"is quantized already \(int8\)"):
        quantize(ws, made.path)
    with pytest.raises(ConfigError, match="names the model itself"):
        quantize(ws, model, out=model)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="was not written by `quantize`"):
        quantize(ws, model, out=tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_data_that_the_network_was_not_trained_on_are_refused(ws, model, tmp_path):
    other = Workspace(
        from_document({"data": {"phantom": {"patients": 4}}, "train": {"paths": {"save_root": str(tmp_path)}}})
    )
    with pytest.raises(CheckpointError, match="was trained on data"):
        quantize(other, model)


def test_calibration_sees_training_patients_alone(ws, model):
    card = read_card(read_model_file(model).metadata, model)
    images = calibration_images(ws, card, 10_000)
    everyone = sum(len(volume.images) for volume in ws.prepared(ws.training.cases))
    train = sum(len(volume.images) for volume in ws.prepared(ws.cases_of(ws.split.train)))
    assert len(images) == train < everyone
    assert images.shape[1:] == (1, 32, 32) and images.dtype == np.float32
    assert len(calibration_images(ws, card, 5)) == 5


@given(layers=st.integers(2, 60), enough=st.integers(0, 60))
def test_the_search_keeps_the_fewest_layers_in_float_worst_first(layers, enough, sealed_path, tmp_path_factory):
    kept: dict[Path, tuple[str, ...]] = {}

    def written(calibration, path, *, keep_float, bits, operators):
        kept[path] = tuple(keep_float)
        return path

    search = Search(
        sealed_path,
        np.zeros((1, 1, 32, 32), np.float32),
        tmp_path_factory.getbasetemp(),
        score=lambda path, name: 0.9 if len(kept[path]) >= enough else 0.5,
        progress=SILENT,
    )
    search.calibrate = lambda *_, method, **__: SimpleNamespace(method=method)
    search.quantize = written
    search.rank = lambda calibration: {f"layer{i}": float(i) for i in range(layers)}
    if enough >= layers:  # a file without any INT8 layer is none
        with pytest.raises(GateError, match="No choice of INT8 layers"):
            search.run(["minmax"], least_dice=0.8)
        return
    found = search.run(["minmax"], least_dice=0.8)
    assert kept[found.path] == found.chosen.float_layers == tuple(f"layer{layers - 1 - i}" for i in range(enough))
    assert len(search.trials) <= 2 + 2 * np.log2(layers)


@pytest.mark.parametrize(
    ("gain", "enough", "in_float"),
    [
        (1.3, 0, ("layer0", "layer4")),  # faster, and the Dice holds
        (1.3, 3, ("layer0", "layer4", "layer3")),  # faster, and one more for the Dice
        (0.9, 0, ()),  # the whole file says otherwise than the sum of its layers
        (0.9, 1, ("layer4",)),
    ],
)
def test_layers_that_are_slower_in_int8_stay_in_float(gain, enough, in_float, sealed_path, tmp_path, monkeypatch):
    layers = [f"layer{index}" for index in range(5)]
    times = PrecisionTimes(dict.fromkeys(layers, 1.0), {name: 3.0 if name[-1] in "04" else 0.5 for name in layers}, {})
    kept: dict[Path, tuple[str, ...]] = {}

    def written(calibration, path, *, keep_float, bits, operators):
        kept[path] = tuple(keep_float)
        return path

    def timed(models, *, shape, **_):
        speeds = [1.0, *[gain] * (len(models) - 1)]
        samples = {name: (1.0 / speed,) * 9 for name, speed in zip(models, speeds, strict=True)}
        return LatencySamples(shape, "whole", samples, samples["whole"])

    monkeypatch.setattr(searching, "measure_precisions", lambda *_, **__: times)
    monkeypatch.setattr(searching, "time_files", timed)
    search = Search(
        sealed_path,
        np.zeros((1, 1, 32, 32), np.float32),
        tmp_path,
        score=lambda path, name: 0.9 if len(kept[path]) >= enough else 0.5,
        progress=SILENT,
        provider="cpu",
    )
    search.calibrate = lambda *_, method, **__: SimpleNamespace(method=method)
    search.quantize = written
    search.rank = lambda calibration: {name: float(name[-1]) for name in layers}
    found = search.run(["minmax"], least_dice=0.8)
    assert kept[found.path] == found.chosen.float_layers == in_float
    assert found.seconds["layer0"] == (1.0, 3.0)


def test_what_openvino_gets_has_its_transposed_convolutions_as_they_are(sealed_path, tmp_path):
    asked = []

    def written(calibration, path, *, keep_float, bits, operators):
        asked.append("ConvTranspose" in operators)
        return path

    for transposed in (False, True):
        search = Search(
            sealed_path,
            np.zeros((1, 1, 32, 32), np.float32),
            tmp_path,
            score=lambda path, name: 0.9,
            progress=SILENT,
            transposed=transposed,
        )
        search.calibrate = lambda *_, method, **__: SimpleNamespace(method=method)
        search.quantize = written
        search.run(["minmax"], least_dice=0.8)
        kinds = {node.op_type for node in onnx.load(search.model).graph.node}
        assert ("ConvTranspose" in kinds, "DepthToSpace" in kinds) == (transposed, not transposed)
    assert asked == [False, True]


def test_providers_that_time_no_layers_are_not_asked(sealed_path, tmp_path):
    search = Search(
        sealed_path,
        np.zeros((1, 1, 32, 32), np.float32),
        tmp_path,
        score=lambda path, name: 0.9,
        progress=SILENT,
        provider="openvino",
    )
    assert search.slower(SimpleNamespace(method="minmax")) == ()


def test_layers_that_a_plan_left_in_float_are_taken_up_and_not_timed_again(sealed_path, tmp_path):
    kept: dict[Path, tuple[str, ...]] = {}

    def written(calibration, path, *, keep_float, bits, operators):
        kept[path] = tuple(keep_float)
        return path

    search = Search(
        sealed_path,
        np.zeros((1, 1, 32, 32), np.float32),
        tmp_path,
        score=lambda path, name: 0.9,
        progress=SILENT,
        provider="cpu",
        planned=("layer3",),
    )
    search.calibrate = lambda *_, method, **__: SimpleNamespace(method=method)
    search.quantize = written
    search.slower = lambda calibration: pytest.fail("timed although it was planned")
    assert kept[search.run(["minmax"], least_dice=0.8).path] == ("layer3",)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"float_layers": ("encoders.7.conv1",)}, r"has no layer encoders\.7\.conv1: it is not the network"),
        ({"float_layers": (), "kind": "fp16", "provider": "cpu"}, "FP16 has no layers in float32"),
        ({"float_layers": (), "provider": "openvino"}, "times of layers, which 'openvino' does not tell"),
        ({"float_layers": "all"}, "leaves every layer in float32"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_before_anything_is_computed(ws, model, monkeypatch, changed, word):
    if changed["float_layers"] == "all":
        changed = {"float_layers": tuple(convolutions(model))}
    monkeypatch.setattr(quantizing, "prove", lambda provider: None)
    monkeypatch.setattr(quantizing, "_source", lambda *_: None)
    with pytest.raises(ConfigError, match=word):
        quantize(told(ws, **changed), model)
    assert beside(model) == ["model.onnx"]
