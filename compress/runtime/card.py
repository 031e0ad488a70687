"""The model card: the JSON document inside an exported ONNX file that says all that running it takes.

It holds no time stamp and no path, so equal networks give equal files. A field that changes its meaning raises the
schema; a file of an unknown schema is refused, never guessed at. Networks of this program are described by schema 1,
as ever; those that follow nnU-Net's rules by schema 2, which versions that do not know these rules refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compress.data.nnunet.rules import NnunetRules
from compress.data.pieces import BARE, CONNECTIVITY, HOLE_CONNECTIVITY
from compress.data.rules import Rules, recentre_of, rules_from_json
from compress.data.tidy import Tidy, TidyRule, fillable, rings_of
from compress.data.volume import ACDC_LABELS, MAX_CHANNELS
from compress.errors import CheckpointError, ModelFileError
from compress.runtime.card_reader import DAMAGED, MAX_SIDE, Reader, parse

SCHEMA = 1
NNUNET_SCHEMA = 2
SCHEMAS = (SCHEMA, NNUNET_SCHEMA)
KEY = "cardiocompress"
"""The key in the file's `metadata_props`."""

MAX_LOGIT_BOUND = 10.0
"""Largest difference of logits that a quantized file may allow its self-test: beyond it the test would show nothing."""

MAX_RECENTRE = 9
"""How often a file may have its window moved: each time costs another run."""

MAX_LABELS = 255
"""Label values of a uint8 mask, background left out."""


@dataclass(frozen=True)
class TrainingRange:
    """What the training images looked like: (smallest, largest) of each."""

    pixel_mm: tuple[float, float]
    """Pixel size within a slice."""
    slice_mm: tuple[float, float]
    """Distance between slices."""
    slices: tuple[int, int]
    """Slices of a volume."""
    width_mm: tuple[float, float]
    """Side of the field of view."""


@dataclass(frozen=True)
class ModelCard:
    """How to run one segmentation network, and where it comes from."""

    labels: dict[str, int]
    """Structure name -> label value = channel of the logits (but for regions: `members`); 0 is background."""
    colours: dict[str, str]
    """Structure name -> "#RRGGBB"."""
    preprocessing: Rules
    multiple_of: int
    """Image height and width must be multiples of this."""
    channels: int = 1
    architecture: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    """"data" (digest of the training data), "phantom" (true: synthetic images), "epochs" (of training)."""
    range: TrainingRange | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    """"network" (digest of the weights), "parent" (of those that it was pruned from), "stage", "versions"."""
    pruning: dict[str, Any] | None = None
    """Criterion, ratios and digest of the plan; None for a dense network."""
    tidying: TidyRule = field(default_factory=TidyRule)
    """What is done to every mask."""
    mirroring: bool = False
    """Whether masks come from the mean over mirrored images, as nnU-Net does unless told otherwise."""
    quantization: dict[str, Any] | None = None
    """What the numbers were rounded to, how, from which float graph ("source"), "provider" (where Dice was measured),
    "logit_bound" and "bound_provider" (where that was); None in float32."""
    licence: str = ""
    intended_use: str = ""

    def logit_bound(self, provider_bound: float) -> float:
        """Largest logit difference that counts as equal in the self-test: the provider's, or a quantized file's own.

        Whole numbers flip by a step where float sums are rounded another way, so their bound is measured.
        """
        own = 0.0 if self.quantization is None else float(self.quantization["logit_bound"])
        return max(provider_bound, own)

    @property
    def weight_bits(self) -> int | None:
        """Of an INT8 file's weights; None in every other file. Files of before the choice have seven."""
        about = self.quantization or {}
        return about.get("weight_bits", 7) if about.get("kind") == "int8" else None

    @property
    def tidy(self) -> Tidy:
        """`tidying` by label value."""
        return self.tidying.on(self.labels)

    @property
    def nnunet(self) -> NnunetRules | None:
        """nnU-Net's rules, for a network that follows them."""
        return self.preprocessing if isinstance(self.preprocessing, NnunetRules) else None

    @property
    def heads(self) -> int:
        """Channels of the file's logits."""
        rules = self.nnunet
        return len(self.labels) + 1 if rules is None else rules.heads * rules.folds

    @property
    def members(self) -> dict[str, tuple[int, ...]]:
        """Structure -> the mask's values that it is made of: its own, or all that lie in a region."""
        rules = self.nnunet
        regions = dict(rules.region_names) if rules is not None else {}
        return {name: regions.get(name, (value,)) for name, value in self.labels.items()}

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Along which axes of a slice images may be mirrored; none where the network was not trained for it."""
        return () if self.nnunet is None else self.nnunet.mirror_axes

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Along which axes the file's own masks are means over mirror images."""
        return self.mirror_axes if self.mirroring else ()

    @property
    def phantom(self) -> bool:
        """Whether the network was trained on synthetic images."""
        return self.training.get("phantom") is True

    def to_json(self) -> dict[str, Any]:
        """The document as it is stored, every rule spelt out for readers that are not this package."""
        quantized = {} if self.quantization is None else {"quantization": self.quantization}
        rules = self.nnunet
        words = _FORWARD if rules is None else _NNUNET_FORWARD
        return {
            "schema": SCHEMA if rules is None else NNUNET_SCHEMA,
            "task": self._task,
            "labels": self.labels,
            "colours": self.colours,
            "input": _describe_input(self.channels, self.multiple_of, self.preprocessing.size),
            "output": self._output(),
            "preprocessing": {**self.preprocessing.to_json(), **words, **self._recentre()},
            "postprocessing": {**(_INVERSE if rules is None else _nnunet_inverse(rules)), **self._tidied()},
            "tta": _MIRRORING if self.mirroring else "none",
            "training": {
                **self.training,
                "range": None if self.range is None else {k: list(v) for k, v in asdict(self.range).items()},
            },
            "architecture": self.architecture,
            "provenance": self.provenance,
            "pruning": self.pruning,
            **quantized,
            "licence": self.licence,
            "intended_use": self.intended_use,
        }

    @property
    def _task(self) -> str:
        return _TASK if self.nnunet is None or set(ACDC_LABELS) <= set(self.labels) else _ANY_TASK

    def _output(self) -> dict[str, Any]:
        rules, named = self.nnunet, sorted(self.labels, key=self.labels.__getitem__)
        if rules is None or not rules.region_values:
            found: dict[str, Any] = {**_OUTPUT, "classes": ["background", *named]}
        else:
            found = {**_OUTPUT, "regions": [name for name, _ in rules.region_names]}
        return found if rules is None or rules.folds == 1 else {**found, "folds": rules.folds}

    def _recentre(self) -> dict[str, Any]:
        """Left out where the window stays on the slices' centre: files of before the rule existed stay equal."""
        times = recentre_of(self.preprocessing)
        return {"recentre": {**_RECENTRE, "at_most": times}} if times else {}

    def _tidied(self) -> dict[str, Any]:
        """Left out where masks stay as found: files of before the rules existed stay equal."""
        rule, found = self.tidying, {}
        if rule.shares:
            found["small_pieces"] = {**_SMALL_PIECES, "shares": dict(rule.shares), "chosen": rule.pieces_chosen}
        if rule.bare:
            found["bare"] = {**_BARE, "rings": dict(rule.bare), "chosen": rule.bare_chosen}
        if rule.holes:
            told = {"structures": list(rule.holes), "rings": rule.rings, "chosen": rule.holes_chosen}
            found["holes"] = {**_HOLES, **told}
        return found

    def dumps(self) -> str:
        """The document as text, equal for equal cards."""
        return json.dumps(self.to_json(), sort_keys=True, allow_nan=False)

    @classmethod
    def loads(cls, text: str, path: Path) -> ModelCard:
        """The card in `text`; `ModelFileError` names `path` and the first field that is missing or wrong."""
        reader = _CardReader(parse(text, path), path)
        _check_schema(reader)
        card = cls(
            labels=reader.labels(),
            colours=reader.table("colours", str),
            preprocessing=reader.preprocessing(),
            multiple_of=reader.count("input", "multiple_of"),
            channels=reader.count("input", "channels"),
            architecture=reader.get(dict, "architecture"),
            training={k: v for k, v in reader.get(dict, "training").items() if k != "range"},
            range=reader.range(),
            provenance=reader.get(dict, "provenance"),
            pruning=reader.get((dict, type(None)), "pruning"),
            tidying=TidyRule(*reader.small_pieces(), *reader.holes(), *reader.bare()),
            mirroring=reader.document.get("tta") == _MIRRORING,
            quantization=reader.quantization(),
            licence=reader.get(str, "licence"),
            intended_use=reader.get(str, "intended_use"),
        )
        _check_rules(card, reader)
        return card


def read_card(metadata: Mapping[str, str], path: Path) -> ModelCard:
    """The card among an ONNX file's metadata; `ModelFileError` when there is none that this version can follow."""
    if KEY not in metadata:
        raise ModelFileError(
            f"{path} does not say how its images are prepared and what its labels mean.",
            cure="Export it with `cardiocompress export`.",
        )
    return ModelCard.loads(metadata[KEY], path)


_TASK = "segmentation of short-axis cine cardiac MRI, one 2D slice at a time"
_ANY_TASK = "segmentation, one 2D slice at a time"
_OUTPUT = {"name": "logits", "type": "float32", "layout": "slice, class, row, column"}
_FORWARD: dict[str, Any] = {
    "axes": "spacing and size are (row, column); the volume is (slice, row, column) = NIfTI (z, y, x)",
    "resample": {"order": 3, "mode": "nearest", "grid_mode": True, "limited_to_input_range": True, "per": "slice"},
    "crop_pad": {"anchor": "centre", "pad_value": "minimum of the normalised window"},
    "normalise": {"clip": "percentiles of the window of the volume", "then": "z-score over the window of the volume"},
}
_RECENTRE: dict[str, Any] = {
    "when": "the largest piece of all structures together reaches an edge of the window behind which slices go on",
    "then": "the window is moved so that the box around that piece is in its middle, not beyond the slice; look again",
}
"""What `compress.data.window` does in words."""
_INVERSE: dict[str, Any] = {
    "activation": "softmax",
    "resample": {"order": 1, "mode": "nearest", "grid_mode": True, "per": "slice and class", "of": "probabilities"},
    "decision": "largest probability",
    "outside_window": "background",
}
"""What `compress.data.preprocess` does in words; a file that asks for anything else is refused."""
_SMALL_PIECES: dict[str, Any] = {
    "connectivity": CONNECTIVITY,
    "pieces": "of one structure in the volume, on the native grid",
    "dropped": "those with fewer voxels than this share of the structure's largest piece",
    "become": "background",
}
_BARE: dict[str, Any] = {
    "bare": "what a ring encloses, in a slice on the native grid with less than this share of its outline on the ring",
    "dropped": "where it has more pixels than in each slice in which it is not bare, if there is such a slice",
    "share": BARE,
    "outline": "sides of its pixels that meet another label",
    "become": "background, after small pieces were dropped",
}
_HOLES: dict[str, Any] = {
    "connectivity": HOLE_CONNECTIVITY,
    "holes": "background of one slice on the native grid that meets one structure, no other and no border",
    "become": "that structure, after pieces were dropped",
    "left": "those of a ring in slices without what it encloses",
}
"""What `compress.data.pieces` does in words."""


_MIRRORING = "mean of the logits over mirrored images"
_NNUNET_FORWARD: dict[str, Any] = {
    "way": "as nnU-Net 2.8.1 on the CPU",
    "axes": "spacing and size are (row, column) after the transposition of (z, y, x)",
    "crop": "box of what is nonzero in any channel",
    "normalise": "each channel by its scheme over the box, before resampling",
    "resample": {"order": 3, "mode": "nearest", "grid_mode": True, "limited_to_input_range": True, "flat_voxels": 3},
    "tiles": {
        "step": 0.5,
        "pad": "zeros on both sides up to the size",
        "weights": "Gaussian, sigma an eighth, peak 10",
    },
}


def _nnunet_inverse(rules: NnunetRules) -> dict[str, Any]:
    """What `compress.data.nnunet` does in words."""
    return {
        "sums": "weighted logits of the tiles in float16, and the mean over folds",
        "resample": {"order": 1, "mode": "nearest", "grid_mode": True, "of": "logits, rounded to float16"},
        "decision": "sigmoid above 0.5, painted in order" if rules.region_values else "largest logit",
        "outside_box": "background",
    }


def _describe_input(channels: int, multiple_of: int, size: tuple[int, int]) -> dict[str, Any]:
    fixed = {"name": "image", "type": "float32", "layout": "slice, channel, row, column"}
    return {**fixed, "channels": channels, "multiple_of": multiple_of, "size": list(size)}


def _check_schema(reader: _CardReader) -> None:
    schema = reader.document.get("schema")
    if schema in SCHEMAS and not isinstance(schema, bool):
        return
    newer = isinstance(schema, int) and schema > max(SCHEMAS)
    cure = "Update cardiocompress." if newer else DAMAGED
    raise ModelFileError(
        f"{reader.path} has a model card of schema {json.dumps(schema)[:40]}; this version reads schema "
        f"{' and '.join(map(str, SCHEMAS))}.",
        cure=cure,
    )


def _check_rules(card: ModelCard, reader: _CardReader) -> None:
    """Every rule in the file must be the rule that this version follows."""
    written = card.to_json()
    for key in ("task", "input", "output", "preprocessing", "postprocessing", "tta"):
        if reader.document.get(key) != written[key]:
            raise ModelFileError(
                f"{reader.path} asks for rules under '{key}' that this version does not implement.",
                cure="Use the version that exported it, or export the model again.",
            )
    if reader.document["schema"] != written["schema"]:
        raise reader.fault("schema", f"{reader.document['schema']} with rules of schema {written['schema']}")
    if (rules := card.nnunet) is not None:
        if card.channels != len(rules.channels):
            raise reader.fault("input.channels", f"{card.channels}, not {len(rules.channels)}")
        if len(card.labels) != (len(rules.region_values) or rules.heads - 1):
            raise reader.fault("labels", f"{len(card.labels)} for {rules.heads} heads")
    elif card.channels > MAX_CHANNELS:
        raise reader.fault("input.channels", f"{card.channels}; {MAX_CHANNELS} at most")
    if any(side % card.multiple_of for side in card.preprocessing.size):
        raise reader.fault("input.size", f"no multiple of {card.multiple_of}")


class _CardReader(Reader):
    """The card's own fields."""

    def labels(self) -> dict[str, int]:
        labels = self.table("labels", int)
        if sorted(labels.values()) != list(range(1, len(labels) + 1)) or not labels:
            raise self.fault("labels", f"{json.dumps(labels)[:60]}, not 1 to the number of structures")
        if len(labels) > MAX_LABELS:
            raise self.fault("labels", f"{len(labels)} structures; a mask holds at most {MAX_LABELS}")
        if bad := [name for name in labels if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]{0,30}", name)]:
            raise self.fault("labels", f"holding the name {bad[0][:40]!r}")
        return dict(sorted(labels.items(), key=lambda item: item[1]))

    def preprocessing(self) -> Rules:
        words = _FORWARD if self.document["schema"] == SCHEMA else _NNUNET_FORWARD
        rules = {k: v for k, v in self.get(dict, "preprocessing").items() if k not in words}
        if "recentre" in rules:
            rules["recentre"] = self.count("preprocessing", "recentre", "at_most")
        try:
            found = rules_from_json(rules)
        except CheckpointError as fault:
            raise self.fault("preprocessing", f"not usable: {fault.message}") from None
        if isinstance(found, NnunetRules):  # checked as it was read
            if max(found.size) > MAX_SIDE:
                raise self.fault("preprocessing.size", f"{list(found.size)}, above {MAX_SIDE}")
            return found
        limits = {"spacing_mm": (0.1, 20.0), "size": (8, MAX_SIDE), "clip_percentiles": (0.0, 100.0)}
        for name, (low, high) in limits.items():
            self.pair(getattr(found, name), f"preprocessing.{name}", low, high)
        if found.recentre > MAX_RECENTRE:
            raise self.fault("preprocessing.recentre.at_most", f"{found.recentre}, not from 1 to {MAX_RECENTRE}")
        low, high = found.clip_percentiles
        if low >= high or not all(isinstance(side, int) for side in found.size):
            raise self.fault("preprocessing", "contradictory")
        return found

    def small_pieces(self) -> tuple[dict[str, float], str]:
        """The rule, and by what it was chosen; nothing where there is none."""
        if "small_pieces" not in self.get(dict, "postprocessing"):
            return {}, ""
        shares = self.get(dict, "postprocessing", "small_pieces", "shares")
        unknown = set(shares) - set(self.labels())
        sound = all(type(share) in (int, float) and 0 < share <= 1 for share in shares.values())
        if unknown or not sound or not shares:
            raise self.fault(
                "postprocessing.small_pieces.shares",
                f"{json.dumps(shares)[:60]}, not a share above 0 and up to 1 for some of the structures",
            )
        named = {name: float(shares[name]) for name in self.labels() if name in shares}
        return named, self.get(str, "postprocessing", "small_pieces", "chosen")

    def holes(self) -> tuple[tuple[str, ...], str]:
        """The same of the holes."""
        if "holes" not in self.get(dict, "postprocessing"):
            return (), ""
        named = self.get(list, "postprocessing", "holes", "structures")
        known = fillable(self.labels())
        if not named or named != [name for name in known if name in named]:
            raise self.fault(
                "postprocessing.holes.structures", f"{json.dumps(named)[:60]}, not some of {', '.join(known)}"
            )
        return tuple(named), self.get(str, "postprocessing", "holes", "chosen")

    def bare(self) -> tuple[dict[str, str], str]:
        """The same of what is dropped where it is bare."""
        if "bare" not in self.get(dict, "postprocessing"):
            return {}, ""
        rings, known = self.get(dict, "postprocessing", "bare", "rings"), rings_of(self.labels())
        if not rings or any(known.get(ring) != inner for ring, inner in rings.items()):
            raise self.fault("postprocessing.bare.rings", f"{json.dumps(rings)[:60]}, not some of {json.dumps(known)}")
        return rings, self.get(str, "postprocessing", "bare", "chosen")

    def quantization(self) -> dict[str, Any] | None:
        if "quantization" not in self.document:  # a float32 file
            return None
        found = self.get(dict, "quantization")
        for name in ("kind", "source"):
            self.get(str, "quantization", name)
        bound = self.get((int, float), "quantization", "logit_bound")
        if not 0 < bound <= MAX_LOGIT_BOUND:
            raise self.fault("quantization.logit_bound", f"{bound:g}, not above 0 and at most {MAX_LOGIT_BOUND:g}")
        bits = found.get("weight_bits", 7)
        if type(bits) is not int or bits not in (7, 8):
            raise self.fault("quantization.weight_bits", f"{json.dumps(bits)[:40]}, not 7 or 8")
        return found

    def range(self) -> TrainingRange | None:
        if self.get((dict, type(None)), "training", "range") is None:
            return None
        names = TrainingRange.__dataclass_fields__
        pairs = {name: tuple(self.get(list, "training", "range", name)) for name in names}
        for name, pair in pairs.items():
            self.pair(pair, f"training.range.{name}", 0, 1e5)
            if pair[0] > pair[1]:
                raise self.fault(f"training.range.{name}", f"{json.dumps(pair)[:60]}, the wrong way round")
        return TrainingRange(**pairs)
