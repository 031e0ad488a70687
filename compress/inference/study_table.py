"""All studies of a batch as one CSV file, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.data.scan import Problem
from compress.data.volume import PHASES, STRUCTURES
from compress.evaluate.clinical import QUANTITIES
from compress.evaluate.study import WORDS
from compress.files import write_text
from compress.text import cell, without_folders

TABLE = "summary.csv"
HEADS = "study,status,"
"""How the file begins."""

"""Structures whose volume is told where a study is one image of unknown phase."""


_PHANTOM = ("images", "model")


def write_table(path: Path, studies: Sequence[dict[str, Any]], problems: Sequence[Problem]) -> Path:
    """One row per study, its clinical values and flags; then one row per image that could not be segmented."""
    quantities = [f"{name} ({q.unit})" for name, q in QUANTITIES.items()]
    told = dict.fromkeys(name for study in studies for image in study["images"] for name in image["volumes_ml"])
    names = [*STRUCTURES, *(name for name in told if name not in STRUCTURES)]
    heads = ["study", "status", "ED", "ES", *quantities, *(cell(f"{name} volume (ml)") for name in names)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "flags", "phantom"])
    writer.writerows(_row(study, names) for study in studies)
    blank = [""] * (len(heads) - 2)
    writer.writerows([cell(p.study or p.path.name), "failed", *blank, cell(_local(p)), ""] for p in problems)
    return write_text(path, text.getvalue())


def phases_of(study: dict[str, Any]) -> dict[str, str]:
    """Which mask, or which frame of it, stands for ED and ES, and how that is known, in words."""
    frames = {image["mask"]: image["frames"] for image in study["images"]}
    return {
        name: f"{p['mask']}{' frame ' + str(p['frame']) if frames[p['mask']] > 1 else ''} ({p['known_by']})"
        for name, p in study["phases"].items()
    }


def is_whole(study: Any) -> bool:
    """Whether a study's report, read from a file that may be damaged, holds all that is shown of one."""
    try:
        _row(study, STRUCTURES)
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


def _row(study: dict[str, Any], names: Sequence[str]) -> list[str]:
    values = {name: entry["value"] for name, entry in study["clinical"].items()}
    cells = ["" if values.get(name) is None else f"{values[name]:g}" for name in QUANTITIES]
    flags = [*(WORDS["forced"].format(concern=concern) for concern in concerns_of(study)), *flags_of(study)]
    phases = [cell(phases_of(study).get(name, "")) for name in PHASES]
    row = [cell(study["study"]), "segmented", *phases, *cells, *_volumes(study, names)]
    return [*row, cell(" ".join(flags)), " and ".join(kind for kind in _PHANTOM if study["phantom"].get(kind))]


def _volumes(study: dict[str, Any], names: Sequence[str]) -> list[str]:
    images = study["images"]
    alone = not study["phases"] and len(images) == 1 and images[0]["frames"] == 1
    told = images[0]["volumes_ml"] if alone else {}
    return [f"{told[name][0]:g}" if name in told else "" for name in names]


def _local(problem: Problem) -> str:
    """What is wrong, without the folders that lead to the file: the table goes from hand to hand."""
    return without_folders(problem.message.replace(f"{problem.path.parent}{os.sep}", ""))
