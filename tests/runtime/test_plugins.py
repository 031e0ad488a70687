"""Plugin providers: the absent one for real, the present one where it is installed and has a device."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from compress.errors import ProviderError
from compress.runtime.placement import count_nodes
from compress.runtime.plugins import PluginMissing, plugin_device
from compress.runtime.proof import prove
from compress.runtime.providers import PROVIDERS
from compress.runtime.session import open_session
from compress.runtime.verify import verify

OPENVINO = PROVIDERS["openvino"]
INSTALLED = find_spec(OPENVINO.plugin) is not None
absent = pytest.mark.skipif(INSTALLED, reason="the OpenVINO plugin is installed")


@pytest.fixture
def openvino() -> None:
    try:
        prove("openvino")
    except ProviderError as fault:
        pytest.skip(fault.message)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A package named as the test asks whose library is this very file, which is none."""
    module = ModuleType("some_plugin")
    vars(module)["get_library_path"] = lambda: __file__
    monkeypatch.setitem(sys.modules, "some_plugin", module)
    return "some_plugin"


@absent
def test_an_absent_plugin_is_one_quiet_error_with_its_cure(tiny_path: Path, capfd) -> None:
    for attempt in (lambda: open_session(tiny_path, provider="openvino"), lambda: prove("openvino")):
        with pytest.raises(ProviderError, match="the package onnxruntime-ep-openvino is not installed") as caught:
            attempt()
        assert caught.value.exit_code == 3
        assert "pip install onnxruntime-ep-openvino" in caught.value.cure
    assert capfd.readouterr() == ("", "")


def test_a_library_that_is_none_is_named(plugin: str) -> None:
    for _ in range(2):  # the failure is not remembered as a success
        with pytest.raises(PluginMissing, match="its library cannot be loaded"):
            plugin_device(plugin, "SomeProvider")


def test_a_damaged_package_is_named(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(sys.modules[plugin], "get_library_path", missing)
    with pytest.raises(PluginMissing, match="some-plugin is damaged"):
        plugin_device(plugin, "SomeProvider")


def test_a_plugin_without_a_device_for_this_processor_is_absent(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "register_execution_provider_library", lambda name, path: None)
    with pytest.raises(PluginMissing, match="the plugin some-plugin offers no device for a processor of"):
        plugin_device(plugin, "NoDevice")


def test_the_cpu_is_chosen_among_the_devices(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ort.OrtHardwareDeviceType
    offered = [
        SimpleNamespace(ep_name=name, device=SimpleNamespace(type=kind, vendor="Maker"))
        for name, kind in (("Other", kinds.CPU), ("Mine.AUTO", kinds.CPU), ("Mine", kinds.GPU), ("Mine", kinds.CPU))
    ]
    monkeypatch.setattr(ort, "get_ep_devices", lambda: offered)
    assert plugin_device(plugin, "Mine") is offered[3]


@pytest.mark.usefixtures("openvino")
def test_openvino_computes_every_node_as_the_cpu_does(sealed_path: Path, capfd) -> None:
    ours, theirs = open_session(sealed_path, threads=1), open_session(sealed_path, provider="openvino", threads=1)
    assert theirs.provider_proven == "openvino" and theirs.placement
    assert {node.provider for node in theirs.placement} == {"openvino"}
    nodes = len(theirs.placement)
    assert count_nodes(theirs.placement) == f"openvino: {nodes} of {nodes} nodes, compiled as 1"
    assert '"INFERENCE_PRECISION_HINT": "f32"' in theirs.details["provider_options"]["load_config"]
    assert theirs.details["tf32"] is None
    for shape in ((1, 1, 32, 32), (3, 1, 16, 48)):
        images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        difference = np.abs(ours.run(images) - theirs.run(images)).max()
        assert difference <= 1e-5, f"{difference:.1e}"  # a hundredth of the bound: no bfloat16
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("openvino")
def test_openvino_passes_the_self_test(sealed_path: Path) -> None:
    assert verify(sealed_path, provider="openvino", threads=1).ok
