"""What a bundle holds: one table that `ship` writes by, `verify` checks by and the bundle's README prints."""

from __future__ import annotations

from dataclasses import dataclass

MODEL, BASELINE = "model.onnx", "baseline.onnx"
EXAMPLE_IMAGE = "example_phantom.nii.gz"
PAGE, MODULE, TYPES = "segment.html", "segment.mjs", "segment.d.mts"
EVIDENCE = "evidence/"
REQUIREMENTS, WHEELS = "requirements.txt", "wheels/"
VERDICT = f"{EVIDENCE}verdict.json"
SBOM = "sbom.cdx.json"
MANIFEST, SUMS, SIGNATURE = "manifest.json", "SHA256SUMS", "model.sig"


@dataclass(frozen=True)
class Content:
    """A file of a bundle, or a folder."""

    path: str
    """Below the bundle's folder; folders end with "/"."""
    words: str
    """What it is."""
    template: str = ""
    """The file in `templates/` that a document is written from."""
    when: str = ""
    """The field of `Shipment` that says whether a bundle has it; "": every bundle has it, or is broken."""
    listed: bool = True
    """Whether the manifest lists it; it cannot list itself and what is made from it."""


CONTENTS = (
    Content("README.md", "the model card: this document", template="README.md.j2"),
    Content("LICENSE-NOTE.md", "whose terms the weights and pictures are under", template="LICENSE-NOTE.md.j2"),
    Content(MODEL, "the model, with its card and self-test inside"),
    Content(BASELINE, "the network that it was compared with", when="baseline"),
    Content("example.py", "segments one image", template="example.py.j2"),
    Content(EXAMPLE_IMAGE, "a generated image for it"),
    Content(PAGE, "segments in a browser, offline: open it with a double click", when="web"),
    Content(REQUIREMENTS, "what pip installs to run it: exact versions and digests", when="program"),
    Content(WHEELS, "the program that runs it, and with `--wheels` all that it needs", when="program"),
    Content(MODULE, "the same for a web page of your own: an ES module beside model.onnx", when="web"),
    Content(TYPES, "its types, and how it is called", when="web"),
    Content(EVIDENCE, "what was measured of the model", when="evidence"),
    Content(SBOM, "which models and packages these are, as a CycloneDX bill of materials", when="sbom"),
    Content(MANIFEST, "sizes and digests of all files", listed=False),
    Content(SUMS, "the same, for sha256sum -c", listed=False),
    Content(SIGNATURE, "a signature over all other files", when="signed", listed=False),
)

OWN = tuple(content.path for content in CONTENTS if not content.listed)
"""Files that a manifest does not list."""


def missing(paths: set[str]) -> list[str]:
    """What every bundle has, and a manifest that lists `paths` does not."""
    return [row.path for row in CONTENTS if row.listed and not row.when and row.path not in paths]
