"""The ONNX file of a network with random weights: its latency, memory and size are those of a trained one.

    python benchmarks/untrained.py 64 128 256 512 512 --out thesis.onnx

Features as in `train.model.features`; the five above are the network of 43.9 M parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from compress.export.onnx import export_onnx
from compress.models.unet import UNet, dense_widths, initialise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=int, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    network = UNet(1, 4, dense_widths(wanted.features))
    initialise(network, seed=0)
    export_onnx(network.eval(), wanted.out, divisor=network.divisor)
    print(f"{wanted.out}: {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters, untrained")


if __name__ == "__main__":
    main()
