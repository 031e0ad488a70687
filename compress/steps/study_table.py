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
    blank = [""] * len(QUANTITIES)
    writer.writerows([_word(p.path.name), "failed", *blank, _word(p.message), ""] for p in problems)
    # The name of a folder above may not be UTF-8.
    return write_text(path, text.getvalue().encode("utf-8", "backslashreplace").decode())


def is_whole(study: Any) -> bool:
    """Whether a study's report, read from a file that may be damaged, holds all that is shown of one."""
    try:
        _row(study)
        shown = [v["unit"] + "" for v in study["clinical"].values()]
        for image in study["images"]:
            shown += [c["message"] + "" for c in image["concerns"]]
            shown += [f"{ml[0]:.1f}" for ml in image["volumes_ml"].values()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return False
    return isinstance(study["study"], str)


def flags_of(study: dict[str, Any]) -> list[str]:
    """Every flag of a study's report in words, those of its images with their mask's name."""
    own = [flag["message"] for flag in study["flags"]]
    for image in study["images"]:
        for flag in image["flags"]:
            frame = f" frame {flag['frame']}" if "frame" in flag else ""
            own.append(f"{image['mask']}{frame}: {flag['message']}")
    return own


def concerns_of(study: dict[str, Any]) -> list[str]:
    """Every doubt about a study's images that was overruled, in words."""
    return [concern["message"] for image in study["images"] for concern in image["concerns"]]


def _row(study: dict[str, Any]) -> list[str]:
    values = {name: entry["value"] for name, entry in study["clinical"].items()}
    cells = ["" if values.get(name) is None else f"{values[name]:g}" for name in QUANTITIES]
    phantom = "phantom" if any(study["phantom"].values()) else ""
    flags = [*(f"Forced although {concern}." for concern in concerns_of(study)), *flags_of(study)]
    return [_word(study["study"]), "segmented", *cells, _word(" ".join(flags)), phantom]


def _word(text: str) -> str:
    """A spreadsheet would compute a text that begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
