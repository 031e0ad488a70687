"""The ONNX file of a network with random weights: its latency, memory and size are those of a trained one.

    python benchmarks/untrained.py 64 128 256 512 512 --out thesis.onnx

Features as in `train.model.features`; the five above are the network of 43.9 M parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from compress.data.preprocess import Preprocessing
from compress.data.volume import ACDC_LABELS
from compress.export.metadata import make_card
from compress.export.onnx import export_checkpoint
from compress.export.seal import seal
from compress.models.build import build
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.unet import dense_widths, initialise
from compress.runtime.card import TrainingRange

RULES = Preprocessing((1.5, 1.5), (160, 160), (0.5, 99.5))
NOTHING_SEEN = TrainingRange((1.0, 2.0), (5.0, 10.0), (6, 18), (200.0, 500.0))
"""A card needs ranges; `bench` asks nothing of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=int, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths(wanted.features)}
    network = build("unet", arguments)
    initialise(network, seed=0)
    found = Checkpoint(network.eval(), Meta("unet", arguments, dict(ACDC_LABELS), RULES.to_json(), phantom=True))
    card = make_card(found, training_range=NOTHING_SEEN, licence="none", intended_use="Timing: it was never trained.")
    seal(export_checkpoint(found, wanted.out), card)
    print(f"{wanted.out}: {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters, untrained")


if __name__ == "__main__":
    main()
