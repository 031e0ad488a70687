"""Hostile inputs to `quantize` and `gate`: options, places to write to, models that are good but not for this."""

from __future__ import annotations

import json
import os

from hostile_kit import Maker, Place, Row, card, metadata, mounted, options, write_image

from compress.files import digest_bytes
from compress.runtime.card import KEY
from compress.runtime.golden import GOLDEN_KEY
from compress.runtime.modelfile import read_metadata

BOTH = ("quantize", "gate")
QUANTIZE = ("quantize",)
GATE = ("gate",)


def _out(make: Maker) -> Maker:
    """Something where the result should go."""

    def put(place: Place) -> None:
        make(place)
        place.options.extend(["--out", str(place.out)])

    return put


def _config(text: str) -> Maker:
    def write(place: Place) -> None:
        path = place.root / "bad.yaml"
        path.write_text(text)
        place.options.extend(["--config", str(path)])

    return write


def _full(place: Place) -> None:
    place.options.extend(["--keep", "--budget", "0.9", "--slices", "4", "--method", "minmax"])
    mounted(place, place.root / "full", "4k")
    place.out = place.root / "full" / "made.onnx"


def _resealed_card(where: str, value: object) -> Maker:
    """Change the card and forge its digest in the self-test."""

    def forge(place: Place) -> None:
        card(where, value)(place)
        digest = digest_bytes(read_metadata(place.model)[KEY].encode())
        metadata(GOLDEN_KEY, lambda text: json.dumps({**json.loads(text), "card_sha256": digest}))(place)

    return forge


_INT8 = {"kind": "int8", "source": "0" * 64, "logit_bound": 0.1}

PROVING = [
    Row("no such configuration", options("--config", "absent.yaml"), 2, "absent.yaml", BOTH),
    Row("a configuration of nonsense", _config("a: [b"), 2, "bad.yaml", BOTH),
    Row("an unknown key", options("--set", "quantization.bits=4"), 2, "quantization.bits", BOTH),
    Row("data that are not there", options("--set", "train.paths.train_dir=absent"), 2, "absent", BOTH),
    Row("an unknown provider", options("--provider", "tpu"), 2, "Unknown provider 'tpu'", BOTH),
    Row("a provider that is not there", options("--provider", "cuda"), 3, "'cuda' was asked for", BOTH),
    Row("no threads", options("--threads", "0"), 2, "--threads", BOTH),
    Row("an unknown kind", options("--to", "int4"), 2, "int4", QUANTIZE),
    Row("an unknown method", options("--method", "guess"), 2, "guess", QUANTIZE),
    Row("six bits", options("--weights", "6"), 2, "quantization.weights", QUANTIZE),
    Row("bits in words", options("--weights", "many"), 2, "quantization.weights", QUANTIZE),
    Row("no such bits in a card", card("quantization", {**_INT8, "weight_bits": True}), 2, "weight_bits", BOTH),
    Row("a negative budget", options("--budget", "-1"), 2, "--budget", QUANTIZE),
    Row("too few slices", options("--slices", "1"), 2, "--slices", QUANTIZE),
    Row("no rounds", options("--rounds", "0"), 2, "--rounds", QUANTIZE),
    Row("half precision without a GPU", options("--to", "fp16"), 3, "'cuda' was asked for", QUANTIZE),
    Row("out is the model", _out(lambda p: setattr(p, "out", p.model)), 2, "names the model itself", QUANTIZE),
    Row("out is somebody's text", _out(lambda p: p.out.write_text("mine")), 2, "was not written by", QUANTIZE),
    Row("out is a folder", _out(lambda p: p.out.mkdir()), 2, "was not written by", QUANTIZE),
    Row("out is a pipe", _out(lambda p: os.mkfifo(p.out)), 2, "was not written by", QUANTIZE),
    Row("out is a good model", _out(lambda p: p.out.write_bytes(p.model.read_bytes())), 2, "was not written", QUANTIZE),
    Row("out leads through a file", _out(lambda p: setattr(p, "out", p.model / "x.onnx")), 2, "not a folder", QUANTIZE),
    Row("out leads to a full disk", _out(_full), 3, "No space left", QUANTIZE),
    Row("other training data", _resealed_card("training.data", "e" * 64), 2, "was trained on data", BOTH),
    Row("quantized already", _resealed_card("quantization", _INT8), 2, "is quantized already (int8)", QUANTIZE),
    Row("an endless quantization", card("quantization", {**_INT8, "logit_bound": 1e9}), 2, "logit_bound", BOTH),
    Row("a card changed after export", card("licence", "mine"), 2, "model card changed after export", BOTH),
    Row("baseline missing", lambda p: p.source.unlink(), 2, "no such file", GATE),
    Row("baseline is an image", lambda p: write_image(p.source), 2, "ONNX", GATE),
]
