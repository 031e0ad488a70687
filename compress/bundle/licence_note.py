"""LICENSE-NOTE.md of a bundle: what the file says of its licence, and what follows from the data behind it."""

from __future__ import annotations

from collections.abc import Iterator

from compress.bundle.shipment import Shipment, banners, licence_id, plain
from compress.terms import BERNARD, NO_DEVICE

_SHARE_ALIKE = (
    "What CC BY-NC-SA 4.0 asks of whoever passes on what is under it (https://creativecommons.org/licenses/by-nc-sa/4.0/):\n\n"
    "- BY: name the source and link the licence, and say what was changed.\n"
    "- NC: no use that is primarily for commercial advantage. A product or a paid service needs a permission of the "
    "rights holder.\n"
    "- SA: what is made from it is passed on under the same licence."
)


def licence_note(shipment: Shipment) -> str:
    """The whole text, equal for equal shipments. It claims of the data only what the file's licence says."""
    parts = ["# Licence note", *(f"> **{line}**" for line in banners(shipment)), *_stated(shipment)]
    parts += ["## The data behind the model", *_data(shipment)]
    if shipment.share_alike:
        parts.append(_SHARE_ALIKE)
    if shipment.evidence:
        parts += ["## The evidence", _evidence(shipment)]
    parts += ["## No medical device", NO_DEVICE, "## The example", _EXAMPLE]
    parts.append("This note is no legal advice.")
    return "\n\n".join(parts) + "\n"


_EXAMPLE = "`example_phantom.nii.gz` is a generated image of no patient, written by cardiocompress."


def _stated(shipment: Shipment) -> Iterator[str]:
    if licence_id(shipment.card.licence) == "unknown":
        yield "The model's file states no licence. Without one nobody but its authors may pass it on: ask them."
    else:
        yield f"The model's file states this licence for its weights: {plain(shipment.card.licence)}"


def _data(shipment: Shipment) -> Iterator[str]:
    if shipment.phantom:
        yield "The model was trained on generated images (phantom). No data of patients stands behind it."
    elif shipment.acdc:
        yield (
            "By the stated licence the model was trained on ACDC, which is under CC BY-NC-SA 4.0. Weights trained on "
            f"it are treated here as made from it, and inherit its terms. ACDC asks to be cited: {BERNARD}"
        )
    else:
        yield (
            "The model was trained on images of patients; the file does not say of which data set. The terms of that "
            "data, and of the consent behind it, may bind the weights as well: they are unknown here."
        )


def _evidence(shipment: Shipment) -> str:
    if shipment.phantom and (shipment.verdict is None or shipment.verdict.phantom):
        return "Scores and pictures in `evidence/` come from generated images (phantom)."
    return (
        "Scores in `evidence/` are per patient, under the names that the data gives them. Pictures there, also those "
        "inside report.html, show images of patients and stay under the terms of the data that they come from."
    )
