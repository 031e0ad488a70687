"""The two files of a gate: opened, proven, and refused where comparing them would show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compress.config import Gate
from compress.data.images import image_of
from compress.data.volume import Case
from compress.errors import ConfigError, ModelFileError
from compress.evaluate.judging import check_patients
from compress.files import read_json
from compress.runtime.segmenter import Segmenter
from compress.steps.reuse import intact
from compress.steps.workspace import OWN, Workspace


def open_pair(
    ws: Workspace, paths: tuple[Path, Path], *, provider: str, threads: int | None
) -> tuple[Segmenter, Segmenter]:
    """Baseline and candidate, each proven on the provider; a file given twice is opened once.

    Raises `ModelFileError` for files that are no exports, were altered after export, have other labels than the data
    or other training data than each other, and `ProviderError` when the provider is not truly there.
    """
    baseline = Segmenter(paths[0], provider=provider, threads=threads)
    candidate = Segmenter(paths[1], provider=provider, threads=threads) if paths[0] != paths[1] else baseline
    for segmenter in (baseline, candidate):
        if segmenter.card.labels != ws.labels:
            raise ModelFileError(
                f"{segmenter.session.path} has labels {segmenter.card.labels}, the data has {ws.labels}.",
                cure="Compare networks with the data's own labels.",
            )
    trained = [segmenter.card.training.get("data") for segmenter in (baseline, candidate)]
    if trained[0] != trained[1]:
        raise ModelFileError(
            f"{paths[0]} was trained on data {_short(trained[0])}, {paths[1]} on {_short(trained[1])}.",
            cure="Compare networks of the same training data.",
        )
    return baseline, candidate


def check_cohort(ws: Workspace, model: Segmenter) -> None:
    """Raise `ConfigError` where the cohort cannot judge a network.

    It must be whole volumes of patients that the network was not trained on, and no real patients for a network of the
    phantom.
    """
    if ws.config.evaluation.num_slices_per_volume is not None:
        raise ConfigError(
            f"evaluation.num_slices_per_volume is {ws.config.evaluation.num_slices_per_volume}; the gate needs whole "
            "volumes.",
            cure="Set it to null.",
        )
    _refuse_training_patients(ws, model)
    cohort = ws.evaluation
    if model.card.phantom and not cohort.phantom:
        raise ConfigError(
            f"{model.session.path} was trained on the phantom, {cohort.folder} holds real patients.",
            cure="Give networks that were trained on patients.",
        )


def check_folds(runs: Sequence[Workspace]) -> None:
    """Raise `ConfigError` unless the runs share their data and no validation patient."""
    if len(runs) == 1:
        return
    owners: dict[str, Workspace] = {}
    for ws in runs:
        if ws.config.evaluation.paths.eval_dir is not None:
            raise ConfigError(
                f"{ws.run.root} is evaluated on {ws.config.evaluation.paths.eval_dir}; folds are judged on their own "
                "validation patients.",
                cure="Set evaluation.paths.eval_dir to null.",
            )
        if ws.training.digest != runs[0].training.digest:
            raise ConfigError(f"{ws.run.root} and {runs[0].run.root} were trained on different data.")
        for patient in ws.split.val:
            if patient in owners:
                raise ConfigError(
                    f"{patient} validates in {owners[patient].run.root} and in {ws.run.root}.",
                    cure="Give each fold once; train them with train.folds and another train.fold each.",
                )
            owners[patient] = ws


def check_size(cases: Sequence[Case], settings: Gate) -> None:
    """Raise `DataError` where there are too few patients, or too few with both phases."""
    phases: dict[str, set[str]] = {}
    for case in cases:
        phases.setdefault(case.patient, set()).add(case.phase)
    check_patients(len(phases), settings)
    both = sum({"ED", "ES"} <= found for found in phases.values())
    check_patients(both, settings, what="ED and ES are both there of")


def _refuse_training_patients(ws: Workspace, model: Segmenter) -> None:
    """A network looks better on what it has seen, and two networks may have seen it to different degrees."""
    trained, external = model.card.training.get("data"), ws.config.evaluation.paths.eval_dir is not None
    if external and ws.evaluation.digest == trained:
        raise ConfigError(
            f"evaluation.paths.eval_dir is {ws.evaluation.folder}, the data that {model.session.path} was trained on.",
            cure="Set it to null for the validation patients, or to another cohort.",
        )
    if external and (ws.config.train.paths.train_dir is None or ws.training.digest != trained):
        return  # the training data is not at hand: nothing to compare with
    if not trained and model.card.architecture.get("name") != OWN:
        ws.progress.warn(
            f"{model.session.path} was imported and does not say which patients it was trained on: where those that it "
            "is judged on are among them, it looks better than it is."
        )
    elif ws.training.digest != trained:
        what = "the phantom" if ws.training.phantom else str(ws.training.folder)
        raise ConfigError(
            f"{model.session.path} was trained on data {_short(trained)}, but train.paths.train_dir is {what} "
            f"({_short(ws.training.digest)}): its validation patients may be among those that it was trained on.",
            cure="Set train.paths.train_dir to the data that it was trained on, or evaluation.paths.eval_dir.",
        )
    _refuse_another_split(ws)
    ours, trained = (
        {image_of(case).digest() for case in cases} for cases in (ws.evaluation.cases, ws.cases_of(ws.split.train))
    )
    if seen := ours & trained:
        raise ConfigError(
            f"{len(seen)} images of {ws.evaluation.folder} are among those that the networks were trained on.",
            cure="Set evaluation.paths.eval_dir to other patients.",
        )


def _refuse_another_split(ws: Workspace) -> None:
    """The run folder's split is that of its training; with other settings the validation patients would be others."""
    stored = intact(lambda: dict(read_json(ws.run.split)["inputs"])) or {}
    for key, value in ws.split_settings.items():
        if stored.get("data") == ws.training.digest and stored.get(key) != value:
            raise ConfigError(
                f"{ws.run.root} was split with {key} {stored.get(key)}, the configuration says {value}: patients that "
                "the networks were trained on would be scored.",
                cure="Use the configuration of the training.",
            )


def _short(digest: object) -> str:
    return str(digest)[:12] if digest else "that it does not name"
