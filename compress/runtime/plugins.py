"""Execution providers that come as a package of their own: ONNX Runtime's plugin interface.

A plugin is a library that ONNX Runtime loads on request. It offers devices, and a session is opened on one of them.
"""

from __future__ import annotations

import importlib
from functools import cache

import onnxruntime as ort


class PluginMissing(Exception):
    """Why a plugin cannot be used, in a clause; whoever asked for it makes the typed error of it."""


def plugin_device(package: str, ort_name: str) -> ort.OrtEpDevice:
    """The CPU device that the plugin in the Python package `package` offers under ONNX Runtime's name `ort_name`.

    The library is loaded the first time and stays for the life of the process. Raises `PluginMissing`.
    """
    _register(package, ort_name)
    offered = [device for device in ort.get_ep_devices() if device.ep_name == ort_name]
    found = [device for device in offered if device.device.type == ort.OrtHardwareDeviceType.CPU]
    if not found:
        raise PluginMissing(f"the plugin {_project(package)} offers no device for {_processor()}")
    return found[0]


@cache
def _register(package: str, ort_name: str) -> None:
    """Load the library once; a failure is tried again. A second registration of one library would be refused."""
    try:
        path = importlib.import_module(package).get_library_path()
    except ImportError:
        raise PluginMissing(f"the package {_project(package)} is not installed") from None
    except FileNotFoundError:
        raise PluginMissing(f"the package {_project(package)} is damaged: its library is missing") from None
    if any(device.ep_name == ort_name for device in ort.get_ep_devices()):
        return  # the program around us has registered it
    try:
        ort.register_execution_provider_library(package, path)
    except Exception as fault:  # ONNX Runtime's own types share no base below it
        raise PluginMissing(f"its library cannot be loaded ({' '.join(str(fault).split())[:200]})") from fault


def _project(package: str) -> str:
    return package.replace("_", "-")


def _processor() -> str:
    vendors = {device.device.vendor for device in ort.get_ep_devices() if device.ep_name == "CPUExecutionProvider"}
    return f"a processor of {', '.join(sorted(vendors))}" if vendors else "this processor"
