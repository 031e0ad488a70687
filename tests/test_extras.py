"""Cures name only what pip can find: the folder or wheel that the program came from, or packages of an index."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from compress import extras

ROOT = Path(extras.__file__).parents[1]


def test_from_a_folder_it_is_the_folder_s_extra() -> None:
    assert extras.install_command("dicom") == f"pip install {shlex.quote(f'{ROOT}[dicom]')}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As if the code lay in site-packages, with what pip recorded of where it came from."""
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "compress" / "extras.py"))

    def record(source: object) -> None:
        text = None if source is None else json.dumps({"url": source})
        found = SimpleNamespace(read_text=lambda file: text, requires=metadata.requires("cardiocompress"))
        monkeypatch.setattr(metadata, "distribution", lambda name: found)

    return record


def test_from_a_wheel_it_is_the_wheel_s_extra_while_the_wheel_is_there(installed, tmp_path: Path) -> None:
    wheel = tmp_path / "a b" / "cardiocompress-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    installed(wheel.as_uri())
    assert extras.install_command("dicom") == f"pip install {shlex.quote(f'{wheel}[dicom]')}"
    wheel.unlink()
    assert extras.install_command("dicom") == "pip install 'pydicom>=3' 'highdicom>=0.28'"


def test_from_an_index_or_folder_of_wheels_it_is_the_packages(installed) -> None:
    installed(None)
    assert "cardiocompress" not in extras.install_command("signing")
    assert extras.install_command("overlays") == "pip install matplotlib"
    assert "onnxruntime-gpu[cuda,cudnn]>=1.24.1" in extras.install_command("cuda")


def test_every_named_extra_exists_and_brings_the_package() -> None:
    wanted = [line.lower().replace("-", "_") for line in metadata.requires("cardiocompress") or []]
    for package, extra in extras._EXTRAS.items():
        marked = [line for line in wanted if f'extra == "{extra}"' in line or f"extra == '{extra}'" in line]
        assert any(line.startswith(package.lower()) for line in marked), (package, extra)
