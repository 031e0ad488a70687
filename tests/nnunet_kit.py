"""Small results folders as nnU-Net 2 writes them, with random weights, and an image for them.

Networks come from the package that nnU-Net itself uses; the masks that stock nnU-Net 2.8.1 made of these very folders
and images lie in nnunet_stock_masks.npz, written by benchmarks/nnunet_masks.py where nnU-Net is installed.
"""

from __future__ import annotations

import copy
import json
import pydoc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

STOCK = Path(__file__).with_name("nnunet_stock_masks.npz")
MODEL = "nnUNetTrainer__nnUNetPlans__2d"
SHAPE = (5, 61, 53)
Document = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One way in which plans and data sets differ."""

    edit: Callable[[Document, Document], None] = lambda plans, dataset: None
    folds: tuple[int | str, ...] = (0,)
    mirror: tuple[int, ...] | None = (0, 1)
    spacing: tuple[float, float, float] = (8.0, 1.4, 1.5)


def _architecture(plans: Document) -> Document:
    return plans["configurations"]["2d"]["architecture"]


def residual(plans: Document, dataset: Document) -> None:
    told = _architecture(plans)
    told["network_class_name"] = told["network_class_name"].replace("PlainConvUNet", "ResidualEncoderUNet")
    kwargs = told["arch_kwargs"]
    kwargs["n_blocks_per_stage"] = [1, 2, 2]
    del kwargs["n_conv_per_stage"]
    kwargs |= {"n_conv_per_stage_decoder": [1, 1], "features_per_stage": [8, 16, 16]}


def old(plans: Document, dataset: Document) -> None:
    configuration = plans["configurations"]["2d"]
    del configuration["architecture"], plans["label_manager"]
    configuration |= {
        "UNet_class_name": "ResidualEncoderUNet",
        "UNet_base_num_features": 8,
        "unet_max_num_features": 24,
        "n_conv_per_stage_encoder": [2, 2, 2],
        "n_conv_per_stage_decoder": [1, 1],
        "num_pool_per_axis": [2, 1],
        "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 1]],
        "conv_kernel_sizes": [[3, 3]] * 3,
    }
    plans["foreground_intensity_properties_by_modality"] = plans.pop("foreground_intensity_properties_per_channel")


def regions(plans: Document, dataset: Document) -> None:
    dataset["labels"] = {"background": 0, "core": [2, 3], "whole": [1, 2, 3], "top": 3, "ignore": 4}
    dataset["regions_class_order"] = [2, 1, 3]


def inherits(plans: Document, dataset: Document) -> None:
    known = plans["configurations"]
    known["base"] = known["2d"]
    known["middle"] = {"inherits_from": "base", "batch_size": 4}
    known["2d"] = {"inherits_from": "middle", "patch_size": [32, 48]}


def transposed(plans: Document, dataset: Document) -> None:
    plans |= {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}


def computed_tomography(plans: Document, dataset: Document) -> None:
    plans["configurations"]["2d"]["normalization_schemes"] = ["CTNormalization"]


def two_channels(plans: Document, dataset: Document) -> None:
    dataset["channel_names"] = {"0": "T1", "1": "T2"}
    plans["configurations"]["2d"] |= {
        "normalization_schemes": ["ZScoreNormalization", "RescaleTo01Normalization"],
        "use_mask_for_norm": [True, False],
    }


KINDS: dict[str, Kind] = {
    "plain": Kind(),
    "residual": Kind(residual),
    "old": Kind(old),
    "three folds": Kind(folds=(0, 1, 2)),
    "regions and ignore": Kind(regions),
    "inherits": Kind(inherits, mirror=(0,)),
    "transposed": Kind(transposed, spacing=(1.4, 1.5, 8.0)),
    "nearest across rows": Kind(transposed),
    "computed tomography": Kind(computed_tomography, mirror=None),
    "two channels, masked": Kind(two_channels, spacing=(2.0, 1.4, 1.5)),
}


def documents() -> tuple[Document, Document]:
    """plans.json and dataset.json of the plain kind."""
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    function = "resample_data_or_seg_to_shape"
    kwargs = {
        "n_stages": 3,
        "features_per_stage": [8, 12, 16],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [48, 40],
        "median_image_size_in_voxels": [61.0, 53.0],
        "spacing": [1.5625, 1.5625],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": True,
        "resampling_fn_data": function,
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg": function,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": kwargs,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    grey = {"max": 900.0, "mean": 155.0, "median": 120.0, "min": 0.0, "percentile_00_5": 29.0}
    grey |= {"percentile_99_5": 500.0, "std": 115.0}
    plans = {
        "dataset_name": "Dataset001_Made",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [8.0, 1.4, 1.5],
        "original_median_shape_after_transp": list(SHAPE),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": grey, "1": grey},
    }
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    return plans, dataset


def write_results(root: Path, kind: Kind, **checkpoint: Any) -> Path:
    """The folder Trainer__Plans__Configuration of a kind; `checkpoint` replaces entries of every fold's checkpoint."""
    plans, dataset = documents()
    kind.edit(plans, dataset)
    folder = root / MODEL
    for fold in kind.folds:
        (folder / f"fold_{fold}").mkdir(parents=True)
        state = {
            "network_weights": _network(plans, dataset, seed=fold if isinstance(fold, int) else 9).state_dict(),
            "optimizer_state": {},
            "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(0.5)]},
            "init_args": {
                "plans": plans,
                "configuration": "2d",
                "fold": fold,
                "dataset_json": dataset,
                "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": kind.mirror,
        }
        torch.save({**state, **checkpoint}, folder / f"fold_{fold}" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def write_image(root: Path, kind: Kind) -> list[Path]:
    """A blob in noise, dark around and with a dark hole, as one file per channel."""
    plans, dataset = documents()
    kind.edit(plans, dataset)
    generator, (_, y, x) = np.random.default_rng(5), np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    paths = []
    for channel in range(len(dataset["channel_names"])):
        voxels = np.zeros(SHAPE, np.float32)
        bright = np.exp(-((y - 30) ** 2 + (x - 26) ** 2) / 300.0) * 300 + generator.gamma(2.0, 40.0, SHAPE)
        voxels[1:, 3:-4, 2:-6] = bright[1:, 3:-4, 2:-6]
        voxels[2, 20:24, 20:25] = 0
        image = nib.Nifti1Image(np.ascontiguousarray(voxels.T), np.diag([*kind.spacing[::-1], 1.0]))
        paths.append(root / f"case_{channel:04d}.nii.gz")
        nib.save(image, paths[-1])
    return paths


def _network(plans: Document, dataset: Document, *, seed: int) -> torch.nn.Module:
    from dynamic_network_architectures.architectures import unet

    told = copy.deepcopy(plans["configurations"].get("base", plans["configurations"]["2d"]))
    name, kwargs = _described(told)
    heads = [
        v for k, v in dataset["labels"].items() if k != "ignore" and (v != 0 or "regions_class_order" not in dataset)
    ]
    torch.manual_seed(seed)
    channels = len(dataset["channel_names"])
    network = getattr(unet, name)(input_channels=channels, num_classes=len(heads), deep_supervision=True, **kwargs)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if "norm." in key:
                value.uniform_(0.5, 1.5) if key.endswith("weight") else value.normal_(0, 0.3)
    return network


def _described(told: Document) -> tuple[str, Document]:
    if "architecture" not in told:
        base = documents()[0]["configurations"]["2d"]["architecture"]["arch_kwargs"]
        del base["n_conv_per_stage"]
        base |= {"n_blocks_per_stage": [2, 2, 2], "n_conv_per_stage_decoder": [1, 1], "features_per_stage": [8, 16, 24]}
        base["strides"] = [[1, 1], [2, 2], [2, 1]]
        name, kwargs = "ResidualEncoderUNet", base
    else:
        name, kwargs = (
            told["architecture"]["network_class_name"].rpartition(".")[2],
            told["architecture"]["arch_kwargs"],
        )
    return name, {k: pydoc.locate(v) if k in ("conv_op", "norm_op", "nonlin") else v for k, v in kwargs.items()}
