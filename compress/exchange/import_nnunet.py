"""A trained model of nnU-Net as a checkpoint of ours, with nnU-Net's own preprocessing as its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.data.nnunet.intensity import INTENSITIES, NEEDS_INTENSITIES, SCHEMES, Channel
from compress.data.nnunet.rules import NnunetRules
from compress.errors import CheckpointError, ConfigError
from compress.exchange.archive import open_source
from compress.exchange.labels import Labels, read_labels
from compress.exchange.plans import architecture, resolved
from compress.exchange.results import TrainedModel, all_plain, chosen_folds, find_model, largest_of
from compress.models.build import build, misfits, outline
from compress.models.checkpoint import Checkpoint, Meta
from compress.models.nnunet import NETWORKS, plain_names

EXTRA = "nnunet"
"""The key in a checkpoint's `extra` for what going back to nnU-Net takes, and what it says of the training images."""
_READERS = ("SimpleITKIO", "NibabelIO")
_ENDINGS = (".nii.gz", ".nii")
_RESAMPLING = "resample_data_or_seg_to_shape"
_ORDERS = {"resampling_fn_data": 3, "resampling_fn_probabilities": 1}


@dataclass(frozen=True)
class Imported:
    """What came in."""

    checkpoint: Checkpoint
    model: str
    folds: tuple[str, ...]
    """The folds that were imported."""
    others: tuple[str, ...]
    """Those that were left."""
    notes: tuple[str, ...]
    """What a person should know."""


def import_nnunet(path: Path, *, fold: str | None = None, checkpoint: str = "final") -> Imported:
    """The model in a results folder or zip of nnU-Net 2.

    fold: a number, "all" for the mean of all, None for the first. checkpoint: "final", "best" or "latest".
    Raises `InputError` and its kinds, in one line each, for what is damaged, dangerous, or not reproduced here.
    """
    with open_source(path) as source:
        model = find_model(source)
        folds = chosen_folds(model, fold, checkpoint)
        states = [model.checkpoint(f, checkpoint) for f in folds]
        return _imported(model, folds, states, checkpoint)


def _imported(model: TrainedModel, folds: list[str], states: list[dict[str, Any]], word: str) -> Imported:
    first, plans, dataset = states[0], model.plans, model.dataset
    told = first.get("init_args")
    name = told.get("configuration") if isinstance(told, Mapping) else None
    if not isinstance(name, str):
        raise CheckpointError(f"{model.name}: its checkpoint does not say which configuration it was trained with.")
    configuration = resolved(plans, name)
    _refuse_unlike(plans, configuration, dataset, name)
    labels = read_labels(dataset)
    path, document = model.postprocessing()
    rules = _rules(plans, configuration, dataset, labels, first, len(folds), largest_of(document, path))
    weights = [plain_names(_tensors(state, model.name)) for state in states]
    arguments = _arguments(configuration, rules, weights[0])
    checkpoint = _filled(arguments, weights, Meta("nnunet", arguments, labels.values, rules.to_json()), model.name)
    meta = checkpoint.meta
    meta.extra[EXTRA] = {
        "plans": {**plans, "configurations": {name: configuration}},
        "dataset": dataset,
        "configuration": name,
        "trainer": str(first.get("trainer_name", "nnUNetTrainer")),
        "model": model.name,
        "folds": list(folds),
        "checkpoint": word,
        "mirror_axes": list(rules.mirror_axes),
        "range": _range(model.fingerprint, rules),
    }
    others = tuple(f for f in model.folds(word) if f not in folds)
    return Imported(checkpoint, model.name, tuple(folds), others, tuple(_notes(path, document, meta)))


def _notes(path: str, document: Mapping[str, Any] | None, meta: Meta) -> list[str]:
    notes = []
    if path and document is None:
        notes.append(f"{path} is a pickle and is not opened; without a postprocessing.json nothing is postprocessed.")
    trainer = meta.extra[EXTRA]["trainer"]
    if not trainer.startswith("nnUNetTrainer"):
        notes.append(f"It was trained by {trainer}: the network is what the plans say, and its weights fit.")
    return notes


def _refuse_unlike(
    plans: Mapping[str, Any], configuration: Mapping[str, Any], dataset: Mapping[str, Any], name: str
) -> None:
    """What is not nnU-Net's default way is refused by its name: an imitation would give other masks."""
    ending, reader = dataset.get("file_ending", ".nii.gz"), plans.get("image_reader_writer", _READERS[0])
    patch = configuration.get("patch_size")
    refused = {
        f"the configuration {name} is {len(patch) if isinstance(patch, list) else 0}D; 2D ones are imported": (
            not isinstance(patch, list) or len(patch) != 2
        ),
        f"the configuration {name} is one of a cascade": bool(configuration.get("previous_stage")),
        f"its images end in {ending}; {' and '.join(_ENDINGS)} are read": ending not in _ENDINGS,
        f"its images are read by {reader}; {' and '.join(_READERS)} are imitated": reader not in _READERS,
        f"its preprocessor is {configuration.get('preprocessor_name')}, not DefaultPreprocessor": (
            configuration.get("preprocessor_name", "DefaultPreprocessor") != "DefaultPreprocessor"
        ),
        f"its label manager is {plans.get('label_manager')}, not LabelManager": (
            plans.get("label_manager", "LabelManager") != "LabelManager"
        ),
    }
    for what, wrong in refused.items():
        if wrong:
            raise ConfigError(f"This model of nnU-Net is not imported: {what}.")
    for key, order in _ORDERS.items():
        _refuse_resampling(key, configuration, order)


def _refuse_resampling(key: str, configuration: Mapping[str, Any], order: int) -> None:
    wanted = {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}
    function, kwargs = configuration.get(key), configuration.get(f"{key}_kwargs")
    if function != _RESAMPLING or kwargs != wanted:
        raise ConfigError(
            f"This model of nnU-Net is not imported: its {key} is {function} with {kwargs}; "
            f"{_RESAMPLING} with {wanted} is reproduced."
        )


def _rules(
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    dataset: Mapping[str, Any],
    labels: Labels,
    state: Mapping[str, Any],
    folds: int,
    largest: tuple[tuple[int, ...], ...],
) -> NnunetRules:
    try:
        document = {
            "spacing_mm": configuration["spacing"],
            "size": configuration["patch_size"],
            "channels": [vars(c) for c in _channels(plans, configuration, dataset)],
            "heads": labels.heads,
            "region_values": list(labels.values.values()) if labels.regions else [],
            "region_names": [[name, list(values)] for name, values in labels.regions.items()],
            "transpose": plans.get("transpose_forward", [0, 1, 2]),
            "mirror_axes": list(state.get("inference_allowed_mirroring_axes") or ()),
            "folds": folds,
            "largest_of": largest,
        }
        return NnunetRules.from_json(document)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ConfigError(f"plans.json lacks what preprocessing needs: {fault!r}.") from None


def _channels(plans: Mapping[str, Any], configuration: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[Channel]:
    names = dataset.get("channel_names", dataset.get("modality"))
    schemes = configuration["normalization_schemes"]
    masked = configuration["use_mask_for_norm"]
    if not isinstance(names, Mapping) or not len(names) == len(schemes) == len(masked):
        raise ConfigError("dataset.json and plans.json speak of different numbers of channels.")
    known = plans.get("foreground_intensity_properties_per_channel")
    known = known or plans.get("foreground_intensity_properties_by_modality") or {}
    return [
        Channel(str(name), _scheme(scheme), mask is True, _intensities(known.get(str(index)), scheme))
        for index, (name, scheme, mask) in enumerate(zip(names.values(), schemes, masked, strict=True))
    ]


def _scheme(name: str) -> str:
    if name not in SCHEMES:
        raise ConfigError(
            f"This model of nnU-Net is not imported: normalisation {name!r} is not known.",
            cure=f"Known: {', '.join(SCHEMES)}.",
        )
    return name


def _intensities(known: Mapping[str, Any] | None, scheme: str) -> dict[str, float]:
    return {key: float((known or {})[key]) for key in INTENSITIES} if scheme in NEEDS_INTENSITIES else {}


def _tensors(state: Mapping[str, Any], name: str) -> dict[str, torch.Tensor]:
    found = state["network_weights"]
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in found.items()):
        raise CheckpointError(f"{name}: network_weights holds other things than tensors.")
    return dict(found)


def _arguments(
    configuration: Mapping[str, Any], rules: NnunetRules, weights: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    network, settings = architecture(configuration)
    if network not in NETWORKS:
        raise ConfigError(
            f"This model of nnU-Net is not imported: its network is {network}; {' and '.join(NETWORKS)} are known."
        )
    norm = str(settings.get("norm_op"))
    if any(name.endswith("running_mean") for name in weights) and norm.startswith("InstanceNorm"):
        settings["norm_op"] = norm.replace("InstanceNorm", "BatchNorm")  # nnUNetTrainerBN does not write it down
    arguments = {
        "network": network,
        "in_channels": len(rules.channels),
        "out_channels": rules.heads,
        "settings": settings,
    }
    return arguments | ({"folds": rules.folds} if rules.folds > 1 else {})


def _filled(
    arguments: dict[str, Any], weights: Sequence[Mapping[str, torch.Tensor]], meta: Meta, name: str
) -> Checkpoint:
    """No memory is taken for the network before the weights are known to be its own."""
    one = {key: value for key, value in arguments.items() if key != "folds"}
    try:
        like = outline("nnunet", one, tensors=len(weights[0]))
    except (TypeError, KeyError, ValueError, AssertionError, IndexError, RuntimeError, OverflowError) as fault:
        raise ConfigError(f"{name}: its plans describe no network that can be built: {_short(fault)}.") from None
    for tensors in weights:
        _check_fits(like, tensors, name)
    network = build("nnunet", arguments)
    members = list(network.members) if len(weights) > 1 else [network]  # pyright: ignore[reportArgumentType]
    for member, tensors in zip(members, weights, strict=True):
        member.load_state_dict(dict(tensors))
    return Checkpoint(network.eval(), meta)


def _check_fits(network: nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    if wrong := misfits(network, tensors):
        raise CheckpointError(
            f"{name}: its checkpoint does not match its plans: {len(wrong)} tensors differ, such as {wrong[0][:80]}.",
            cure="A trainer that changes the network can be imported with `import-torch`.",
        )
    if not all_plain(tensors):
        raise CheckpointError(f"{name}: its checkpoint holds weights that are not finite, or no plain numbers.")


def _short(fault: Exception) -> str:
    return " ".join(repr(fault).split())[:300]


def _range(fingerprint: Mapping[str, Any] | None, rules: NnunetRules) -> dict[str, Any] | None:
    """What the training images looked like, for the model card; their sides as they were cropped to what is nonzero."""
    try:
        spacings = np.array((fingerprint or {})["spacings"], float)
        shapes = np.array((fingerprint or {})["shapes_after_crop"], float)
        sides, pixels = shapes[:, 1:] * spacings[:, 1:], spacings[:, 1:]
        ranges = {"pixel_mm": pixels, "slice_mm": spacings[:, 0], "slices": shapes[:, 0], "width_mm": sides}
        found = {name: [round(float(v.min()), 4), round(float(v.max()), 4)] for name, v in ranges.items()}
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return {**found, "slices": [int(n) for n in found["slices"]]}
