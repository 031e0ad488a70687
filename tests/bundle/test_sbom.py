"""The bills of materials name what is there, digest by digest and version by version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shipping_kit import accepted_request

from compress.bundle.sbom import pins_sbom
from compress.bundle.ship import ship
from compress.files import digest_file
from compress.runtime.versions import versions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, sealed_path: Path) -> Path:
    return ship(accepted_request(tmp_path_factory.mktemp("shipped"), sealed_path)).folder


def test_a_bundles_bill_names_its_files_and_software(shipped: Path) -> None:
    bill = json.loads((shipped / "sbom.cdx.json").read_text())
    models = [bill["metadata"]["component"], *(c for c in bill["components"] if c["type"] == "machine-learning-model")]
    assert {m["name"]: m["hashes"][0]["content"] for m in models} == {
        name: digest_file(shipped / name) for name in ("model.onnx", "baseline.onnx")
    }
    others = {c["name"]: c["version"] for c in bill["components"] if c["type"] != "machine-learning-model"}
    assert others == versions()
    assert set(bill["dependencies"][0]["dependsOn"]) == {c["bom-ref"] for c in bill["components"]}


def test_the_pins_bill_is_that_of_the_pins() -> None:
    made = pins_sbom((ROOT / "constraints.txt").read_text().splitlines())
    assert (ROOT / "sbom.cdx.json").read_text() == made, "run `make sbom`"
    assert len(json.loads(made)["components"]) > 50


def test_both_are_valid_by_the_published_schema(shipped: Path) -> None:
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib[json-validation] is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    for path in (shipped / "sbom.cdx.json", ROOT / "sbom.cdx.json"):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
