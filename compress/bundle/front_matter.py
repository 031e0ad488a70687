"""The YAML head of a model card, by the conventions of the Hugging Face Hub."""

from __future__ import annotations

from typing import Any

import yaml

from compress.bundle.shipment import Shipment
from compress.text import one_line, phantom_mark, short

_DIGITS = 4
"""Decimals of a Dice score."""


def front_matter(shipment: Shipment) -> str:
    """The head between two lines of `---`; Dice stands in it only when the gate's scores are there."""
    head: dict[str, Any] = {**_licence(shipment), "library_name": "cardiocompress"}
    head |= {"pipeline_tag": "image-segmentation", "tags": _tags(shipment)}
    if shipment.phantom or shipment.acdc:
        head["datasets"] = ["phantom" if shipment.phantom else "ACDC"]
    if shipment.scores is not None and shipment.verdict is not None:
        head |= {"metrics": ["dice"], "model-index": [{"name": title(shipment), "results": [_result(shipment)]}]}
    return f"---\n{yaml.safe_dump(_one_lines(head), sort_keys=False, allow_unicode=False, width=120)}---\n"


def title(shipment: Shipment) -> str:
    """What the model is called."""
    mark = "PHANTOM " if shipment.phantom else ""
    return f"{mark}cardiac MRI segmentation ({shipment.kind})"


def _licence(shipment: Shipment) -> dict[str, str]:
    found = shipment.licence_id
    named = {"license": found}
    if found == "other":
        named |= {"license_name": "see-license-note", "license_link": "LICENSE-NOTE.md"}
    return named


def _tags(shipment: Shipment) -> list[str]:
    tags = ["onnx", "medical", "cardiac-mri", "segmentation"]
    tags += ["phantom"] if shipment.phantom else []
    tags += [] if not shipment.not_gated else ["not-gated"]
    tags += ["pruned"] if shipment.card.pruning else []
    tags += [str(shipment.card.quantization["kind"])] if shipment.card.quantization else []
    return tags


def _result(shipment: Shipment) -> dict[str, Any]:
    """The measured Dice of the file, on the gate's patients."""
    verdict, scores = shipment.verdict, shipment.scores
    assert verdict is not None and scores is not None
    mark = phantom_mark(verdict.phantom)
    values = scores.dice
    cohort = f"the gate's {verdict.patients} patients{mark}, data {short(verdict.data)}"
    return {
        "task": {"type": "image-segmentation", "name": "short-axis cine cardiac MRI segmentation"},
        "dataset": {"type": "phantom" if verdict.phantom else "cardiac-mri", "name": cohort},
        "metrics": [
            {"type": "dice", "name": f"Dice {name}{mark}", "value": round(value, _DIGITS)}
            for name, value in values.items()
        ],
    }


def _one_lines(value: Any) -> Any:
    """The head with every text on one line: a line of its own could end the head."""
    if isinstance(value, dict):
        return {key: _one_lines(found) for key, found in value.items()}
    if isinstance(value, list):
        return [_one_lines(found) for found in value]
    return one_line(value) if isinstance(value, str) else value
