"""Every field of the model card: where it stands in the JSON document inside a file, with an example."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any

from compress.data.preprocess import Preprocessing
from compress.data.tidy import TidyRule
from compress.data.volume import ACDC_LABELS
from compress.runtime import card as module
from compress.runtime.card import KEY, ModelCard, TrainingRange
from compress.text import code, markdown_table
from generate.prose import prose


def card() -> str:
    """The document of a card that has everything, key by key; then the fields of `ModelCard` that it is made of."""
    rows = [(code(path), code(json.dumps(value))) for path, value in _flat(_example().to_json())]
    fields = [(code(name), prose(what)) for kind in (ModelCard, TrainingRange) for name, what in _documented(kind)]
    return "\n\n".join(
        [
            f"## The document\n\nIt stands under the key `{KEY}` in the file's `metadata_props`.",
            markdown_table(("key", "example"), rows),
            "## What the fields mean",
            markdown_table(("field", "meaning"), fields),
        ]
    )


def _example() -> ModelCard:
    return ModelCard(
        labels=dict(ACDC_LABELS),
        colours=dict.fromkeys(ACDC_LABELS, "#1B9E77"),
        preprocessing=Preprocessing((1.5, 1.5), (160, 160), (0.5, 99.5), recentre=2),
        multiple_of=32,
        architecture={"name": "unet", "widths": {"encoders.0": 8}},
        training={"data": "9f2c...", "phantom": False, "epochs": 100},
        range=TrainingRange((0.7, 2.0), (5.0, 10.0), (6, 18), (200.0, 500.0)),
        provenance={"network": "51ab...", "parent": "c07e...", "stage": "pruned", "versions": {"torch": "2.13.0"}},
        pruning={"criterion": "l1", "scope": "local", "align": 8, "default": 0.5, "ratios": {}, "digest": "77d0..."},
        tidying=TidyRule({"LV": 0.5}, "validation volumes", ("RV", "MYO"), "validation volumes"),
        quantization={
            "kind": "int8",
            "method": "percentile",
            "source": "aa31...",
            "logit_bound": 0.4,
            "float_layers": [],
        },
        licence="CC BY-NC-SA 4.0",
        intended_use="Research use only.",
    )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, found in value.items():
            yield from _flat(found, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _documented(kind: type) -> Iterator[tuple[str, str]]:
    """(field, the text below it) of a dataclass; a field without a text says enough by its name."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    (body,) = (node.body for node in nodes if isinstance(node, ast.ClassDef) and _is_class(node, kind))
    for field, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign):
            said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            yield f"{kind.__name__}.{ast.unparse(field.target)}", " ".join(str(said).split())


def _is_class(node: ast.AST, kind: type) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == kind.__name__
