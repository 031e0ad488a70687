"""Parts that the run's page and the gate's page share: banners, key figures, boxes, agreement, provenance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from compress import __version__
from compress.evaluate.clinical import QUANTITIES, clinical_pairs
from compress.evaluate.paired import JUDGED
from compress.evaluate.summary import MEAN, EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.report.agreement_grid import agreement_grid
from compress.report.box_plot import dice_boxes
from compress.report.html import (
    Markup,
    bullets,
    definitions,
    details,
    el,
    figure,
    heading_of,
    page,
    section,
    table,
)
from compress.terms import BERNARD, NO_DEVICE
from compress.text import MISSING, dash, span, spread, without_folders

Part = tuple[str, str, list[Markup]]
"""Anchor, heading, content."""

Reports = Mapping[str, EvaluationReport]
"""Network -> its scores on one cohort, the baseline first."""

REASONS_ON_RUN_PAGE = 4
"""The run's page shows this many reasons of a refusal; the gate's page shows all."""

PHANTOM_WORDS = (
    "Every figure and picture below comes from generated images (phantom). They show that the software works and say "
    "nothing about patients."
)


def phantom_banner(phantom: bool) -> Markup | None:
    """The word that stands above everything else, or nothing."""
    if not phantom:
        return None
    return el("div", el("p", el("strong", "PHANTOM DATA")), el("p", PHANTOM_WORDS), class_="banner warn", role="note")


def verdict_banner(verdict: Verdict, *, link: str | None = None) -> Markup:
    """Accepted or refused, with the reasons (with a link the first of them); colour only helps the words."""
    word = "ACCEPTED" if verdict.accepted else "REFUSED"
    more = el("p", el("a", "The whole verdict", href=link)) if link else None
    reasons = list(verdict.reasons)
    if link and len(reasons) > REASONS_ON_RUN_PAGE:
        reasons = [*reasons[:REASONS_ON_RUN_PAGE], f"and {len(reasons) - REASONS_ON_RUN_PAGE} more"]
    cohort = f"{verdict.patients} patients, {verdict.volumes} volumes"
    refused = f"{verdict.candidate.name} may not take the place of {verdict.baseline.name} ({cohort}):"
    return el(
        "div",
        el("p", el("strong", word + (" (PHANTOM)" if verdict.phantom else ""))),
        el("p", verdict.sentence if verdict.accepted else refused),
        bullets(reasons) if reasons else None,
        more,
        class_=f"banner {'good' if verdict.accepted else 'bad'}",
        role="note",
    )


def key_figures(rows: Iterable[tuple[str, str, str]]) -> Markup:
    """Tiles of (name, figure, what it is made of)."""
    return el(
        "dl", *(el("div", el("dt", n), el("dd", value, el("small", note))) for n, value, note in rows), class_="keys"
    )


def contents(parts: Iterable[tuple[str, str]]) -> Markup:
    """Links to (anchor, heading)."""
    return el("nav", bullets(el("a", text, href=f"#{name}") for name, text in parts), aria_label="Contents")


def boxes(reports: Reports, folder: Path, *, phantom: bool) -> list[Markup]:
    """Dice of every volume per structure and network, as a picture and as a table."""
    first = next(iter(reports.values()))
    same = {name: report for name, report in reports.items() if report.structures == first.structures}
    scores = {
        name: {s: [v.structures[s].overlap["dice"] for v in report.volumes] for s in report.structures}
        for name, report in same.items()
    }
    path = dice_boxes(folder / "boxes.png", scores, phantom=phantom)
    patients = len({volume.patient for volume in first.volumes})
    caption = (
        f"Each point is one volume ({len(first.volumes)} volumes of {patients} patients). Box: quartiles and median; "
        "whiskers reach the last volume within 1.5 times the box. Dotted: the first network's median."
    )
    alt = f"Box plots of 3D Dice per volume for {', '.join(first.structures)}, one box for each of {', '.join(same)}"
    return [figure(path, alt=alt, caption=caption), _score_table(same, phantom=phantom)]


def _score_table(reports: Reports, *, phantom: bool) -> Markup:
    rows = []
    for name, report in reports.items():
        for row in report.table():
            figures = [spread(row.mean.get(k), row.sd.get(k), f) for k, f in (("dice", ".3f"), ("hd95_mm", ".2f"))]
            lost = str(row.undefined_hd95) if row.structure != MEAN else ""
            rows.append([name, row.phase or MISSING, row.structure, str(row.n), *figures, lost])
    heads = ["network", "phase", "structure", "n", "3D Dice", "HD95 (mm)", "HD95 undefined"]
    shown = table(heads, rows, caption="Mean ± SD over volumes", text_columns=3, phantom=phantom)
    return details("Dice and HD95 per structure and phase, as figures", shown)


def agreement_parts(reports: Reports, folder: Path, *, phantom: bool) -> list[Markup]:
    """The table of agreement, and a Bland-Altman picture of every network beside the first one."""
    found = {name: clinical_pairs(report.phase_volumes()) for name, report in reports.items()}
    if not any(len(pairs[quantity]) > 1 for pairs in found.values() for quantity in JUDGED):
        return [el("p", "No patient has both phases: volumes over the cycle and ejection fractions are not known.")]
    baseline, *others = found
    parts = [_agreement_table(reports, phantom=phantom)]
    for index, name in enumerate(others or [baseline]):
        shown = {baseline: found[baseline], name: found[name]}
        path = agreement_grid(folder / f"agreement-{index}.png", shown, title=f"Agreement: {name}", phantom=phantom)
        words = " beside ".join(dict.fromkeys((name, baseline)))
        alt = f"Bland-Altman plots of left and right ventricular volumes, ejection fractions and mass: {words}"
        caption = (
            f"{words}. Each point is one patient: prediction minus the expert's value against the mean of both. "
            "Lines: bias and 95% limits of agreement."
        )
        parts.append(figure(path, alt=alt, caption=caption))
    return parts


def _agreement_table(reports: Reports, *, phantom: bool) -> Markup:
    clinical = {name: report.clinical() for name, report in reports.items()}
    rows = []
    for quantity in JUDGED:
        for name, found in clinical.items():
            item, unit = found[quantity], QUANTITIES[quantity].unit
            figures = [spread(item.bias, item.sd, "+.2f"), span(*(item.limits or (None, None)), "+.1f")]
            figures += [dash(item.mae, ".2f"), dash(item.correlation, ".3f")]
            rows.append([quantity, name, unit, str(item.n), str(item.omitted), *figures])
    heads = ["quantity", "network", "unit", "n", "omitted", "bias ± SD", "95% limits", "mean absolute error", "r"]
    return table(heads, rows, caption="Prediction minus reference, per patient", text_columns=3, phantom=phantom)


def plain_facts(value: Any) -> Markup:
    """Names and values of a mapping or a record, nested values on one line; absolute paths are cut short."""
    pairs = {f.name: getattr(value, f.name) for f in fields(value)} if is_dataclass(value) else dict(value)
    return definitions((name.replace("_", " "), without_folders(_words(found))) for name, found in pairs.items())


def digest(text: Any) -> Markup:
    """A digest in full, in type that tells its digits apart."""
    return el("code", str(text) if text else MISSING)


def terms(*, phantom: bool, licence: str = "") -> list[Markup]:
    """What may be done with the page, and what it is not."""
    parts = [el("h3", "Terms"), el("p", NO_DEVICE)]
    if phantom:
        return [*parts, el("p", "All images are generated: no data of patients stands behind this page.")]
    stated = f" The exported files state this licence: {licence}." if licence else ""
    parts.append(
        el("p", f"Figures and pictures come from images of patients and stay under the terms of that data.{stated}")
    )
    known = re.search(r"\bACDC\b", licence) is not None
    words = "The data is ACDC, under CC BY-NC-SA 4.0; it asks to be cited: " if known else "If the data is ACDC, cite: "
    return [*parts, el("p", words + BERNARD)]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(found)}" for key, found in value.items()) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value)) or MISSING
    return (
        {None: MISSING, True: "yes", False: "no"}.get(value, str(value))
        if not isinstance(value, float)
        else f"{value:g}"
    )


def page_of(title: str, heading: str, parts: list[Part], *, phantom: bool, above: Markup | None = None) -> str:
    """The whole page: heading, phantom banner, `above`, contents, and one section per part."""
    header = [
        heading_of("h1", heading, phantom=phantom),
        phantom_banner(phantom),
        above,
        contents((name, text) for name, text, _ in parts),
    ]
    sections = [section(text, *content, name=name, phantom=phantom) for name, text, content in parts]
    footer = f"Written by cardiocompress {__version__}. This file loads nothing and runs no script."
    return page(title, *sections, header=header, footer=footer)
