"""README.md of a bundle: a model card by Hugging Face conventions, derived from the file and its evidence alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compress.bundle.front_matter import front_matter, title
from compress.bundle.shipment import UNKNOWN, Shipment, banners, licence_id, plain
from compress.evaluate.verdict_table import markdown
from compress.runtime.guards import FAR, FIELD_MM
from compress.terms import BERNARD, NO_DEVICE


def model_card(shipment: Shipment) -> str:
    """The whole text, equal for equal shipments; what is not known is said to be unknown."""
    mark = " (phantom)" if shipment.measured_on_phantom else ""
    sections = {
        "Model details": _details(shipment),
        "Intended use": _intended(shipment),
        "Out-of-scope use": _out_of_scope(shipment),
        "Training data": _training(shipment),
        "How it was made": _making(shipment),
        f"Evaluation{mark}": _evaluation(shipment),
        "Limits and risks": _limits(shipment),
        "How to run": _running(shipment),
        "Provenance": _provenance(shipment),
        "Citation": _citation(shipment),
        "Licence": [f"{_licence(shipment.card.licence)}. See [LICENSE-NOTE.md](LICENSE-NOTE.md)."],
    }
    name = title(shipment)
    parts = [f"# {name[0].upper()}{name[1:]}", *(f"> **{line}**" for line in banners(shipment))]
    for heading, lines in sections.items():
        parts += [f"## {heading}", *lines]
    return front_matter(shipment) + "\n" + "\n\n".join(parts) + "\n"


def _details(shipment: Shipment) -> Iterator[str]:
    file, card = shipment.file, shipment.card
    rows, columns = card.preprocessing.size
    y, x = card.preprocessing.spacing_mm
    yield f"`model.onnx` segments {plain(shipment.structures)} in short-axis cine cardiac MRI, one 2D slice at a time."
    widths = card.architecture.get("widths")
    yield _bullets(
        {
            "Labels": "0 background, " + ", ".join(f"{value} {plain(name)}" for name, value in card.labels.items()),
            "Architecture": shipment.kind,
            "Widths": _widths(widths) if isinstance(widths, dict) else UNKNOWN,
            "Input": f"slices of {rows} x {columns} pixels of {y:g} x {x:g} mm (row, column); "
            "resampling and intensities are in the file's own card",
            "File": f"{file.size / 2**20:.2f} MiB, ONNX opset {file.opset}, weights inside",
            "Baseline": "`baseline.onnx`, the network that it was compared with"
            if shipment.baseline
            else "not included",
        }
    )


def _intended(shipment: Shipment) -> Iterator[str]:
    yield plain(shipment.card.intended_use) or "Unknown: the file does not say."
    yield NO_DEVICE


def _out_of_scope(shipment: Shipment) -> Iterator[str]:
    lines = [
        "Diagnosis or treatment without a qualified reader who has seen the image and the mask.",
        "Other views (long axis), other modalities, late-enhancement or perfusion images, hearts of animals.",
        f"Fields of view outside {FIELD_MM[0]:g} to {FIELD_MM[1]:g} mm.",
    ]
    if shipment.card.range is not None:
        lines.append(f"Pixels or slice distances more than {FAR:g} times finer or coarser than those of the training.")
    yield "\n".join(f"- {line}" for line in lines)
    yield "`predict` and `Segmenter` refuse images that look like that unless they are forced."


def _training(shipment: Shipment) -> Iterator[str]:
    card = shipment.card
    if shipment.phantom:
        yield "Generated images (phantom); no patient."
    elif shipment.acdc:
        yield "By its licence, ACDC: short-axis cine MRI of patients (see Citation)."
    else:
        yield "Images of patients. Which data set it is, is unknown: the file does not say."
    facts = {"Digest of the data": f"`{plain(card.training.get('data') or UNKNOWN)}`"}
    facts["Epochs"] = plain(card.training.get("epochs", UNKNOWN))
    if card.range is None:
        facts["Range"] = UNKNOWN
    else:
        named = {"Pixel": card.range.pixel_mm, "Slice distance": card.range.slice_mm, "Field": card.range.width_mm}
        facts |= {name: f"{low:g} to {high:g} mm" for name, (low, high) in named.items()}
        facts["Slices of a volume"] = f"{card.range.slices[0]} to {card.range.slices[1]}"
    yield _bullets(facts)
    yield "Age, sex, scanners, field strength and centres of the training images are unknown: the file does not say."


def _making(shipment: Shipment) -> Iterator[str]:
    card = shipment.card
    yield f"Stage: {plain(card.provenance.get('stage') or UNKNOWN)}."
    yield _pruning(card.pruning) if card.pruning else "Pruning: none, by the file's card."
    yield (
        _quantizing(card.quantization, shipment.quantization) if card.quantization else "Quantization: none (float32)."
    )


def _pruning(plan: Mapping[str, Any]) -> str:
    said = {key: plain(plan.get(key, UNKNOWN)) for key in ("criterion", "scope", "align", "digest")}
    own = plan.get("ratios")
    blocks = (
        "none" if not own else plain(", ".join(f"{k} {v}" for k, v in own.items()) if isinstance(own, dict) else own)
    )
    return (
        f"Pruning: whole filters removed by the criterion {said['criterion']} ({said['scope']}, widths in multiples of "
        f"{said['align']}). Share of the filters removed: {plain(plan.get('default', UNKNOWN))} by default; blocks "
        f"with a ratio of their own: {blocks}. Digest of the plan: `{said['digest']}`."
    )


def _quantizing(card: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    layers = card.get("float_layers", [])
    text = f"Quantization: {plain(card.get('kind', UNKNOWN))}, method {plain(card.get('method') or 'none needed')}; "
    text += f"layers kept in float: {plain(', '.join(map(str, layers)) or 'none')}."
    if record is None:
        return f"{text} What it cost and gained is unknown: no record of `quantize` is in the bundle."
    mark = " (phantom)" if record.get("phantom") is not False else ""
    before, after, gain = (record.get(key) for key in ("dice_before", "dice_after", "speedup"))
    try:
        text += f" Mean Dice{mark} {before['mean']:.4f} before, {after['mean']:.4f} after; {gain['median']:.2f} "  # type: ignore[index]
        text += f"({gain['low']:.2f} to {gain['high']:.2f}) times as fast as the float file where it was measured"  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return f"{text} What it cost and gained is unknown: the record does not say."
    word = "is" if record.get("improvement") is True else "is NOT"
    return f"{text}. By the record this {word} an improvement: [quantize.json](evidence/quantize.json)."


def _evaluation(shipment: Shipment) -> Iterator[str]:
    verdict, mark = shipment.verdict, " (phantom)" if shipment.measured_on_phantom else ""
    if verdict is None:
        yield "Unknown: no verdict of an acceptance gate was given."
    else:
        if verdict.phantom:
            yield "**Measured on generated images (phantom): no figure here says anything about patients.**"
        yield markdown(verdict).partition("\n\n")[2].rstrip()  # all but its heading
    if shipment.scores is not None:
        yield f"Mean 3D Dice{mark} of the shipped file on these patients, per structure:"
        values = {"mean": shipment.scores.mean_dice, **shipment.scores.structure_dice}
        yield _table(["structure", f"Dice{mark}"], [[name, f"{value:.4f}"] for name, value in values.items()])
        groups = shipment.scores.group_dice
        yield _table(["group", f"mean Dice{mark}"], [[plain(name), f"{value:.4f}"] for name, value in groups.items()])
    if shipment.evidence:
        links = ", ".join(f"[{plain(name)}](<evidence/{name}>)" for name in shipment.evidence)
        yield f"Evidence in this bundle: {links}."


def _limits(shipment: Shipment) -> Iterator[str]:
    lines = [
        "A mask can be wrong and look right. `predict` flags implausible masks and values; no flag is no proof.",
        "Results on images of other scanners, centres and diseases than those of the training are unknown.",
        "The orientation of an image is not corrected: an array that is mirrored is segmented as it lies.",
        "Slices are segmented one by one; neighbouring slices need not fit together.",
    ]
    if shipment.verdict is not None:
        lines.insert(0, shipment.verdict.caveat)
    if shipment.evidence and not shipment.phantom:
        lines.append(
            "The evidence may name patients of the cohort and show their images: read it before you publish it."
        )
    yield "\n".join(f"- {line}" for line in lines)


def _running(shipment: Shipment) -> Iterator[str]:
    key = " --public-key PUBLIC.pem" if shipment.signed else ""
    yield (
        "```\n"
        "pip install 'cardiocompress[runtime]'     # no torch\n"
        f"cardiocompress verify .{key}\n"
        "python example.py                         # or: python example.py IMAGE.nii.gz\n"
        "cardiocompress predict model.onnx IMAGES -o MASKS\n"
        "```"
    )
    yield "`example_phantom.nii.gz` is a generated image. `sha256sum -c SHA256SUMS` checks the files alone."


def _provenance(shipment: Shipment) -> Iterator[str]:
    file, told = shipment.file, shipment.card.provenance
    versions = told.get("versions")
    made = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else UNKNOWN
    facts = {
        "SHA-256 of model.onnx": f"`{file.sha256}`",
        "SHA-256 of its graph": f"`{file.graph_sha256}`",
        "Digest of the weights": f"`{plain(told.get('network') or UNKNOWN)}`",
        "Pruned or tuned from": f"`{plain(told['parent'])}`" if told.get("parent") else "nothing, by the file's card",
        "Exported with": plain(made),
        "Bundle written by": f"cardiocompress {shipment.version}",
    }
    if shipment.baseline is not None:
        facts["SHA-256 of baseline.onnx"] = f"`{shipment.baseline.sha256}`"
    facts["Signature"] = "`model.sig`, over all other files" if shipment.signed else "none"
    yield _bullets(facts)
    yield "Sizes and digests of all files are in `manifest.json`."


def _citation(shipment: Shipment) -> Iterator[str]:
    if shipment.phantom:
        yield "None: the training images were generated."
    elif shipment.acdc:
        yield f"Who uses this model cites the data that it was trained on: {BERNARD}"
    else:
        yield f"Unknown: the file does not name its training data. If that is ACDC, cite {BERNARD}"


def _licence(stated: str) -> str:
    return "Unknown: the file states none" if licence_id(stated) == "unknown" else plain(stated).rstrip(".")


def _widths(widths: Mapping[str, Any]) -> str:
    listed = {name: width if isinstance(width, list) else [width] for name, width in sorted(widths.items())}
    return plain(", ".join(f"{name} {'-'.join(map(str, width))}" for name, width in listed.items()))


def _bullets(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
