"""A bill of materials in CycloneDX's JSON: what a bundle is made of, or what the pins of this project name.

Without times and serial numbers, so that the same parts give the same bytes. Specification: ECMA-424, version 1.6.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compress import __version__
from compress.runtime.modelfile import ModelFile

Component = dict[str, Any]


def bundle_sbom(models: Mapping[str, ModelFile], *, software: Mapping[str, str], licence: str) -> str:
    """The models of a bundle by file name, the first of which it is for, and the software that they were run with.

    software: package name -> version, as `compress.runtime.versions` tells it.
    """
    first, *others = [_model(name, file, licence) for name, file in models.items()]
    return _document(first, [*others, *(_package(name, version) for name, version in software.items())])


def pins_sbom(lines: Iterable[str]) -> str:
    """What the lines of a constraints file name, `name==version` each; comments are passed over."""
    pins = [line.split("#")[0].strip().partition("==") for line in lines]
    main: Component = {"type": "application", "bom-ref": "cardiocompress", "name": "cardiocompress"}
    packages = [_package(name, version) for name, sign, version in pins if sign]
    return _document({**main, "version": __version__}, packages)


def _document(main: Component, parts: Sequence[Component]) -> str:
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": list(parts),
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return json.dumps(document, indent=2) + "\n"


def _model(name: str, file: ModelFile, licence: str) -> Component:
    return {
        "type": "machine-learning-model",
        "bom-ref": name,
        "name": name,
        "version": file.sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        **({"licenses": [{"license": {"name": licence}}]} if licence else {}),
    }


def _package(name: str, version: str) -> Component:
    if name == "python":
        return {"type": "platform", "bom-ref": "python", "name": name, "version": version}
    known = name.lower().replace("_", "-")  # as package URLs spell it
    purl = f"pkg:pypi/{known}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
