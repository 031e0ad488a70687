"""Files of other programs' networks, damaged: a typed error or a network, nothing else, and soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fuzz_kit import fuzz
from nnunet_kit import Kind, write_results

from compress.exchange.import_nnunet import import_nnunet
from compress.exchange.import_torch import import_torch

DOCUMENTS = ("plans.json", "dataset.json", "dataset_fingerprint.json", "postprocessing.json")
FINGERPRINT = '{"spacings": [[8.0, 1.4, 1.5]], "shapes_after_crop": [[5, 61, 53]]}'
PIECES = """{"postprocessing_fns": ["remove_all_but_largest_component_from_segmentation"],
"postprocessing_kwargs": [{"labels_or_regions": [1, 2]}]}"""
UNET: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [8, 16], "strides": [2]}
DESCRIPTION = {
    "preprocessing": {"spacing_mm": [4.0, 4.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]},
    "labels": {"RV": 1, "MYO": 2, "LV": 3},
    "network": UNET,
}


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*DOCUMENTS, "fold_0/checkpoint_final.pth"])
def test_a_results_folder(name: str, tmp_path: Path) -> None:
    folder = write_results(tmp_path, Kind())
    (folder / "dataset_fingerprint.json").write_text(FINGERPRINT)
    (folder / "postprocessing.json").write_text(PIECES)
    fuzz((folder / name).read_bytes(), folder / name, lambda path: import_nnunet(folder), examples=10)


@pytest.mark.fuzz
def test_an_archive(tmp_path: Path) -> None:
    import shutil

    folder = write_results(tmp_path / "made", Kind())
    packed = Path(shutil.make_archive(str(tmp_path / "it"), "zip", folder.parent))
    fuzz(packed.read_bytes(), packed, import_nnunet, examples=10)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["it.yaml", "w.pth"])
def test_weights_and_their_description(name: str, tmp_path: Path) -> None:
    import monai.networks.nets as nets

    torch.save(nets.UNet(**UNET).state_dict(), tmp_path / "w.pth")
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(DESCRIPTION))

    def read(path: Path) -> object:
        return import_torch("monai.networks.nets:UNet", tmp_path / "w.pth", tmp_path / "it.yaml")

    fuzz((tmp_path / name).read_bytes(), tmp_path / name, read, examples=10)
