"""What the templates of a bundle's documents are filled with: README.md is a model card by Hugging Face conventions."""

from __future__ import annotations

from typing import Any

from compress.bundle.contents import CONTENTS
from compress.bundle.front_matter import front_matter, title
from compress.bundle.shipment import UNKNOWN, Shipment, banners
from compress.evaluate.verdict_table import markdown_body
from compress.runtime.concerns import FAR, FIELD_MM
from compress.runtime.stack import HEIGHT_MM, MIN_SLICES
from compress.terms import BERNARD, NO_DEVICE
from compress.text import Markdown, code, interval, markdown_table, mib, phantom_mark, span


def readme_values(shipment: Shipment) -> dict[str, Any]:
    """The values of the templates, derived from the file and its evidence alone."""
    card, name = shipment.card, title(shipment)
    rows, columns = card.preprocessing.size
    y, x = card.preprocessing.spacing_mm
    return {
        "shipment": shipment,
        "banners": banners(shipment),
        **{"bernard": BERNARD, "no_device": NO_DEVICE},
        "contents_table": markdown_table(
            ["file", "what it is"],
            [[code(row.path), row.words] for row in CONTENTS if not row.when or getattr(shipment, row.when)],
        ),
        "head": Markdown(front_matter(shipment)),
        "heading": f"{name[0].upper()}{name[1:]}",
        "mark": Markdown(phantom_mark(shipment.measured_on_phantom)),
        "file": shipment.file,
        "card": card,
        "unknown": UNKNOWN,
        "labels": ", ".join(["0 background", *(f"{value} {name}" for name, value in card.labels.items())]),
        "widths": _widths(card.architecture.get("widths")),
        **{"rows": rows, "columns": columns, "pixel": f"{y:g} x {x:g}"},
        **{"field_mm": FIELD_MM, "far": f"{FAR:g}", "fewest_slices": MIN_SLICES, "height_mm": HEIGHT_MM},
        "own_ratios": _pairs((card.pruning or {}).get("ratios") or "none"),
        "float_layers": ", ".join(map(str, (card.quantization or {}).get("float_layers", []))) or "none",
        "quantized_mark": Markdown(phantom_mark(bool(shipment.quantization and shipment.quantization.phantom))),
        "versions": _pairs(card.provenance.get("versions") or UNKNOWN),
        "licence": _licence(shipment),
        **_score_tables(shipment),
        **{"code": code, "mib": mib, "span": span, "interval": interval, "markdown_body": markdown_body},
    }


def _widths(widths: object) -> str:
    if not isinstance(widths, dict):
        return UNKNOWN
    listed = {name: width if isinstance(width, list) else [width] for name, width in sorted(widths.items())}
    return ", ".join(f"{name} {'-'.join(map(str, width))}" for name, width in listed.items())


def _pairs(value: object) -> object:
    return ", ".join(f"{key} {found}" for key, found in value.items()) if isinstance(value, dict) else value


def _score_tables(shipment: Shipment) -> dict[str, Markdown]:
    scores, mark = shipment.scores, phantom_mark(shipment.measured_on_phantom)
    if scores is None:
        return {}
    tables = {
        "structure_table": (["structure", f"Dice{mark}"], scores.dice),
        "group_table": (["group", f"mean Dice{mark}"], scores.group_dice),
    }
    return {
        name: markdown_table(heads, [[row, f"{value:.4f}"] for row, value in found.items()])
        for name, (heads, found) in tables.items()
    }


def _licence(shipment: Shipment) -> str:
    unknown = shipment.licence_id == "unknown"
    return "Unknown: the file states none" if unknown else shipment.card.licence.strip().rstrip(".")
