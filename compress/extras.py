"""What to type when a package is missing: only what pip can really find."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_PROJECT = "cardiocompress"

_EXTRAS = {
    "matplotlib": "overlays",
    "onnxruntime": "runtime",
    "SimpleITK": "itk",
    "pydicom": "dicom",
    "highdicom": "dicom",
    "dynamic_network_architectures": "nnunet",
    "model_signing": "signing",
    "prometheus_client": "service",
    "ray": "scale",
    "tensorboard": "tracking",
    "wandb": "tracking",
}
"""The extra that brings a package, where it is not the training's."""


def extra_of(package: str) -> str:
    """The extra of pyproject.toml that brings a package: `extra_of("pydicom")` is "dicom"."""
    return _EXTRAS.get(package, "train")


def install_command(extra: str) -> str:
    """What installs an extra here, for a shell.

    The program is on no index under its own name, and whoever registered that name could be installed instead. So this
    is the extra of the folder or wheel that the program was installed from (as pip recorded it: direct_url.json of
    PEP 610), or else the packages themselves.
    """
    source = _source()
    if source is not None:
        return f"pip install {shlex.quote(f'{source}[{extra}]')}"
    return f"pip install {' '.join(map(shlex.quote, _packages(extra)))}"


def _source() -> Path | None:
    """The folder or wheel on this machine that the program came from; None when it is not there any more."""
    folder = Path(__file__).resolve().parents[1]
    if (folder / "pyproject.toml").is_file():
        return folder
    try:
        recorded = metadata.distribution(_PROJECT).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = urlsplit(json.loads(recorded)["url"] if recorded else "")
    path = Path(url2pathname(url.path))
    return path if url.scheme == "file" and path.exists() else None


def _packages(extra: str) -> list[str]:
    """The packages that an extra brings on this machine, with what is asked of their versions."""
    from packaging.requirements import Requirement

    found = []
    for each in map(Requirement, metadata.requires(_PROJECT) or []):
        marker, each.marker = each.marker, None
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            found.append(str(each))
    return found
