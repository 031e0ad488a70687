"""Masks of stock nnU-Net for the results folders of the tests: writes tests/nnunet_stock_masks.npz.

Run where nnunetv2 2.8.1 is installed (pip install nnunetv2==2.8.1): python benchmarks/nnunet_masks.py
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from nnunet_kit import KINDS, write_image, write_results  # noqa: E402


def stock_mask(folder: Path, images: list[Path], *, mirroring: bool) -> np.ndarray:
    """(Z, Y, X) uint8."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):
        device = torch.device("cpu")
        predictor = nnUNetPredictor(use_mirroring=mirroring, device=device, perform_everything_on_device=False)
        predictor.initialize_from_trained_model_folder(str(folder), None, "checkpoint_final.pth")
        reader = predictor.plans_manager.image_reader_writer_class()
        voxels, properties = reader.read_images([str(path) for path in images])
        return predictor.predict_single_npy_array(voxels, properties, None, None, False).astype(np.uint8)


def main() -> None:
    """One mask per kind, with mirroring and without."""
    torch.set_num_threads(1)
    masks = {}
    for name, kind in KINDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder, images = write_results(Path(scratch), kind), write_image(Path(scratch), kind)
            for mirroring in (True, False):
                masks[f"{name}, {'mirrored' if mirroring else 'plain'}"] = stock_mask(
                    folder, images, mirroring=mirroring
                )
    np.savez_compressed(HERE.parent / "tests" / "nnunet_stock_masks.npz", **masks)  # pyright: ignore


if __name__ == "__main__":
    main()
