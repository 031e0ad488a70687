"""All studies of a batch as one CSV file, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.data.scan import Problem
from compress.evaluate.clinical import QUANTITIES
from compress.files import write_text


def write_table(path: Path, studies: Sequence[dict[str, Any]], problems: Sequence[Problem]) -> Path:
    """One row per study, its clinical values and flags; then one row per image that could not be segmented."""
    heads = ["study", "status", *(f"{name} ({q.unit})" for name, q in QUANTITIES.items()), "flags", "phantom"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(_row(study) for study in studies)
    writer.writerows([p.path.name, "failed", *[""] * len(QUANTITIES), p.message, ""] for p in problems)
    return write_text(path, text.getvalue())


def flags_of(study: dict[str, Any]) -> list[str]:
    """Every flag of a study's report in words, those of its images with their mask's name."""
    own = [flag["message"] for flag in study["flags"]]
    for image in study["images"]:
        for flag in image["flags"]:
            frame = f" frame {flag['frame']}" if "frame" in flag else ""
            own.append(f"{image['mask']}{frame}: {flag['message']}")
    return own


def _row(study: dict[str, Any]) -> list[str]:
    values = {name: entry["value"] for name, entry in study["clinical"].items()}
    cells = ["" if values.get(name) is None else f"{values[name]:g}" for name in QUANTITIES]
    phantom = "phantom" if any(study["phantom"].values()) else ""
    return [study["study"], "segmented", *cells, " ".join(flags_of(study)), phantom]
