"""A results folder of nnU-Net: which model in it is meant, its folds, and the checkpoints read without running code."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch

from compress.errors import CheckpointError, ConfigError, InputError
from compress.exchange.archive import MAX_WEIGHTS, Source, refuse_inflating

CHECKPOINTS = ("final", "best", "latest")
_PLANS, _DATASET, _PRINT = "plans.json", "dataset.json", "dataset_fingerprint.json"
ALL = "all"
_SCALAR = np._core.multiarray.scalar  # pyright: ignore[reportAttributeAccessIssue]
_SAFE = [
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # what numpy 1 called it: most checkpoints in the field
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
]
"""What a checkpoint of nnU-Net holds beside tensors: the numbers of its log."""


@dataclass(frozen=True)
class TrainedModel:
    """One folder Trainer__Plans__Configuration."""

    source: Source
    folder: str
    """Its path within the source, "" or ending in a slash."""

    @property
    def name(self) -> str:
        """Such as "nnUNetTrainer__nnUNetPlans__2d"; that of the source where it is the folder itself."""
        return PurePosixPath(self.folder).name or self.source.path.resolve().name

    @property
    def plans(self) -> dict[str, Any]:
        return self.source.json(self.folder + _PLANS)

    @property
    def dataset(self) -> dict[str, Any]:
        return self.source.json(self.folder + _DATASET)

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """What the training images looked like; None where the file is missing."""
        name = self.folder + _PRINT
        return self.source.json(name) if name in self.source.names else None

    def postprocessing(self) -> tuple[str, dict[str, Any] | None]:
        """The path of its postprocessing.json and what it says; None where there is none."""
        inside = [n for n in self.source.names if n.startswith(self.folder)]
        found = [n for n in inside if PurePosixPath(n).name == "postprocessing.json"]
        if len(found) > 1:
            raise ConfigError(f"There are {len(found)} postprocessing.json: {', '.join(found)}.", cure="Leave one.")
        if not found:
            pickled = [n for n in inside if PurePosixPath(n).name == "postprocessing.pkl"]
            return (pickled[0] if pickled else ""), None
        return found[0], self.source.json(found[0])

    def folds(self, checkpoint: str) -> list[str]:
        """The folds that have this checkpoint: numbers first, then "all"."""
        head, tail = f"{self.folder}fold_", f"/checkpoint_{checkpoint}.pth"
        found = [n[len(head) : -len(tail)] for n in self.source.names if n.startswith(head) and n.endswith(tail)]
        return sorted((f for f in found if re.fullmatch("[0-9]{1,4}", f)), key=int) + [f for f in found if f == ALL]

    def checkpoint(self, fold: str, checkpoint: str) -> dict[str, Any]:
        """What torch saved. Raises `CheckpointError` for a file that holds more than tensors and plain values."""
        name = f"{self.folder}fold_{fold}/checkpoint_{checkpoint}.pth"
        found = load_torch(self.source.read(name, limit=MAX_WEIGHTS), name)
        if not isinstance(found, Mapping) or not isinstance(found.get("network_weights"), Mapping):
            raise CheckpointError(f"{name} is no checkpoint of nnU-Net 2: it has no network_weights.")
        return dict(found)


def find_model(source: Source) -> TrainedModel:
    """The one 2D model in a source, or its only one. Raises `ConfigError` when there is none, or a choice."""
    places = [n.removesuffix(_PLANS) for n in source.names if PurePosixPath(n).name == _PLANS]
    folders = [p for p in places if any(n.startswith(f"{p}fold_") for n in source.names)]
    if not folders:
        old = any(PurePosixPath(n).suffix in (".model", ".pkl") for n in source.names)
        cure = "Version 1 of nnU-Net pickles its plans, which is not opened: train with version 2." if old else ""
        raise ConfigError(
            f"{source.path} holds no trained model of nnU-Net: no plans.json beside a folder fold_X.",
            cure=cure or "Give the folder Trainer__Plans__Configuration, or nnUNetv2_export_model_to_zip's file.",
        )
    flat = [f for f in folders if f.rstrip("/").endswith("__2d")]
    chosen = folders if len(folders) == 1 else flat
    if len(chosen) != 1:
        names = ", ".join(f.rstrip("/") for f in folders)
        raise ConfigError(f"{source.path} holds several trained models: {names}.", cure="Give the folder of one.")
    model = TrainedModel(source, chosen[0])
    if missing := [name for name in (_PLANS, _DATASET) if model.folder + name not in source.names]:
        raise ConfigError(f"{source.path} lacks {', '.join(missing)} beside its folds.")
    return model


def chosen_folds(model: TrainedModel, fold: str | None, checkpoint: str) -> list[str]:
    """The folds that `fold` means: a number, "all" (every one, averaged), or None (the first). Raises `ConfigError`."""
    found = model.folds(checkpoint)
    if not found:
        others = [word for word in CHECKPOINTS if model.folds(word)]
        cure = f"There is --checkpoint {' or '.join(others)}." if others else "Is its training finished?"
        raise ConfigError(f"{model.name} has no checkpoint_{checkpoint}.pth in any fold.", cure=cure)
    numbers = [f for f in found if f != ALL]
    if fold is None:
        return found[:1]
    if fold == ALL:
        return numbers or found
    if fold not in found:
        raise ConfigError(f"{model.name} has no fold {fold} with that checkpoint; it has {', '.join(found)}.")
    return [fold]


def load_torch(content: bytes, name: str) -> Any:
    """What `torch.save` wrote, with nothing run that it names. Raises `CheckpointError`."""
    refuse_inflating(content, name)
    try:
        with torch.serialization.safe_globals(_SAFE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise CheckpointError(
            f"{name} is damaged, or holds more than tensors and numbers, which is not opened: {reason}"
        ) from None
    except (KeyError, IndexError, OSError, zipfile.BadZipFile, OverflowError) as fault:
        raise CheckpointError(f"{name} is damaged: {fault!r}.") from None


def all_plain(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether all are finite numbers in memory: a file can also hold sparse, quantized and empty tensors."""
    return all(
        t.layout is torch.strided
        and t.device.type == "cpu"
        and not (t.is_quantized or t.is_complex())
        and bool(torch.isfinite(t).all())
        for t in tensors.values()
    )


def largest_of(document: Mapping[str, Any] | None, name: str) -> tuple[tuple[int, ...], ...]:
    """The sets of label values of postprocessing.json. Raises `InputError` for another function than nnU-Net's one."""
    if document is None:
        return ()
    wanted = "remove_all_but_largest_component_from_segmentation"
    try:
        functions, arguments = document["postprocessing_fns"], document["postprocessing_kwargs"]
        if any(f != wanted for f in functions) or len(functions) != len(arguments):
            raise ValueError(f"its functions are {functions}")
        return tuple(_values(a["labels_or_regions"]) for a in arguments)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(f"{name} asks for something else than {wanted}: {fault}.") from None


def _values(told: int | Sequence[Any]) -> tuple[int, ...]:
    every: list[Any] = list(told) if isinstance(told, list | tuple) else [told]
    flat: list[Any] = [v for each in every for v in (each if isinstance(each, list | tuple) else [each])]
    if any(isinstance(v, bool) or not isinstance(v, int) or not 0 < v < 256 for v in flat):
        raise ValueError(f"labels {told}")
    return tuple(sorted(set(flat)))
