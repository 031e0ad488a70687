"""What every stage shares: the configuration, the run folder, the data and its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.config import Config, Cycle
from compress.config.read import load_whole, save_config
from compress.data.cache import prepare_all
from compress.data.images import digests_of
from compress.data.label_values import label_notes
from compress.data.layouts import find_cases, sound_cases
from compress.data.nnunet.rules import NnunetRules
from compress.data.phantom import is_phantom, is_phantom_image
from compress.data.prepared import Prepared
from compress.data.preprocess import Preprocessing
from compress.data.rules import Rules, recentred, rules_from_json
from compress.data.split import Split, find_duplicates, same_person, split_in_folds, split_patients
from compress.data.volume import ACDC_LABELS, HEART, Case, values_of
from compress.errors import CheckpointError, ConfigError
from compress.files import digest_json, read_json, write_json
from compress.progress import SILENT, Progress
from compress.rundir import RunDir, cache_dir
from compress.steps.environment import describe_environment
from compress.steps.phantom import generated_phantom
from compress.steps.reuse import Result, intact

if TYPE_CHECKING:
    from compress.models.checkpoint import Meta


OWN = "unet"
"""The architecture that `train` trains; a run with another one holds a network that was imported."""


RETRAINED_ON = "retrained_on"
"""The key in an imported network's `extra` for the digest of the data that it was retrained or fitted on here."""

_AWAY = "It can be pruned with --no-compensate --finetune none, exported and run; train it where it comes from."


@dataclass(frozen=True)
class Cohort:
    """Cases from one folder, and whether they are synthetic."""

    folder: Path
    cases: Sequence[Case]
    phantom: bool

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every file's digest: equal images and masks, equal digest, wherever they lie."""
        return digest_json([told for case in self.cases for told in digests_of(case)])

    @property
    def labels(self) -> dict[str, int]:
        """Structure -> its value in `Volume.mask`, of all that the masks tell: one data set has one label set."""
        return self.cases[0].values

    def identity(self, rules: Rules) -> str:
        """SHA-256 over all that scores on these cases depend on: files, patients, phases, groups, labels and rules.

        Groups and phases may be corrected beside unchanged images (Info.cfg): the digest stays, this does not.
        """
        known = [(c.patient, c.phase, c.group, c.labels) for c in self.cases]
        return digest_json([self.digest, known, rules.to_json()])


@dataclass
class Workspace:
    """One experiment: ask it for data, it knows where everything goes."""

    config: Config
    progress: Progress = SILENT
    sound: dict[Path, tuple[list[Case], list[str]]] = field(default_factory=dict)
    """With train.skip_bad: each folder's cases that can be used, and why others are left out."""

    @cached_property
    def run(self) -> RunDir:
        return RunDir.of(self.config)

    def __post_init__(self) -> None:
        if self.brought is not None:
            self.config = suited(self.config, self.brought)

    @cached_property
    def labels(self) -> dict[str, int]:
        """Structure -> its value in masks and its channel of a network: an imported network's, else the data's.

        Where the training data is not at hand, those of the run's network.
        """
        if self._network is not None:
            return dict(self._network.labels)
        return dict(ACDC_LABELS if self.config.train.paths.train_dir is None else self.training.labels)

    @cached_property
    def channels(self) -> int:
        """Of an image, as for `labels`."""
        if self._network is not None:
            return int(self._network.arguments.get("in_channels", 1))
        return 1 if self.config.train.paths.train_dir is None else self.training.cases[0].channels

    @cached_property
    def _network(self) -> Meta | None:
        """The run's network where it tells what data it is for: imported, or its training data is not at hand."""
        folder = self.config.train.paths.train_dir
        if self.brought is not None or folder is None or Path(folder).exists() or not self.run.baseline.final.is_file():
            return self.brought
        from compress.models.checkpoint import read_meta

        return read_meta(self.run.baseline.final)

    @cached_property
    def brought(self) -> Meta | None:
        """What the run's dense network says of itself where it was trained elsewhere and imported; None otherwise."""
        if not self.run.baseline.final.is_file():
            return None
        from compress.models.checkpoint import read_meta

        meta = intact(lambda: read_meta(self.run.baseline.final))
        return meta if meta is not None and meta.architecture != OWN else None

    @cached_property
    def rules(self) -> Rules:
        """How images are prepared: as the configuration says, for an imported network as it was trained."""
        if self.brought is not None:
            return rules_from_json(self.brought.preprocessing)
        data = self.config.data
        return Preprocessing(data.spacing_mm, data.size, data.clip_percentiles)

    def rules_of(self, meta: Meta) -> Rules:
        """How a network's images are prepared to be segmented: as in its training, and as evaluation.recentre says.

        Raises `CheckpointError` where its rules are damaged.
        """
        return recentred(rules_from_json(meta.preprocessing), self.config.evaluation.recentre)

    @cached_property
    def training(self) -> Cohort:
        """All cases under `train.paths.train_dir`; the embedded phantom when that is null."""
        paths = self.config.train.paths
        if paths.train_dir is None:
            return self._cohort(generated_phantom(self.config, self.progress), None, None)
        wanted = self.config.data.structures if self.brought is None else list(self.brought.labels)
        return self._cohort(Path(paths.train_dir), paths.label_dir, wanted)

    @cached_property
    def validation(self) -> Cohort:
        """The validation patients' cases."""
        return Cohort(self.training.folder, self.cases_of(self.split.val), self.training.phantom)

    @cached_property
    def evaluation(self) -> Cohort:
        """What `eval` and `bench` score: `evaluation.paths.eval_dir`, or the validation patients when null."""
        paths = self.config.evaluation.paths
        if paths.eval_dir is None:
            return self.validation
        return self._cohort(Path(paths.eval_dir), paths.label_dir, list(self.labels), some=True)

    @cached_property
    def split(self) -> Split:
        """Train and validation patients, stratified by group, duplicates on one side.

        Written to disk where there is none yet; another split is replaced by `describe`, when nothing refuses any more.
        """
        if (stored := self._split_file.stored(_restore_split)) is not None:
            return stored
        duplicates = find_duplicates(self.training.cases)
        for patients in duplicates:
            self.progress.warn(f"Identical images: {', '.join(patients)}. They are kept on one side of the split.")
        duplicates += same_person(self.training.cases)
        train, seed = self.config.train, self.config.experiment.seed
        if train.folds is None:
            split = split_patients(self.training.cases, val_ratio=train.val_ratio, seed=seed, duplicates=duplicates)
        else:
            dealt = split_in_folds(self.training.cases, folds=train.folds, seed=seed, duplicates=duplicates)
            split = dealt[train.fold]
        if intact(lambda: read_json(self.run.split)["inputs"]) is None:
            self._split_file.store(asdict(split))
        return split

    @property
    def _split_file(self) -> Result:
        # Not the groups: where one is corrected, patients that networks were trained on must not become validation's.
        return Result(self.run.split, {"data": self.training.digest, **self.split_settings})

    @property
    def split_settings(self) -> dict[str, Any]:
        """What the split depends on besides the data."""
        train, seed = self.config.train, self.config.experiment.seed
        if train.folds is None:
            return {"val_ratio": train.val_ratio, "seed": seed}
        return {"folds": train.folds, "fold": train.fold, "seed": seed}

    def cases_of(self, patients: Sequence[str]) -> list[Case]:
        """The training cohort's cases of these patients."""
        wanted = set(patients)
        return [s for s in self.training.cases if s.patient in wanted]

    @property
    def readable(self) -> bool:
        """Whether there is data for the run's networks. For imported ones the phantom is none, and none is read for
        other organs or regions."""
        if self.brought is None:
            return True
        given = self.config.train.paths.train_dir is not None
        return given and set(self.labels) <= set(HEART) and not _segments_regions(self.rules)

    def learnt(self, meta: Meta) -> Meta:
        """The description of a network that has learnt from this workspace's training data.

        An imported one keeps its own origin, of which nothing is known here.
        """
        if self.brought is None:
            return meta
        extra = {**meta.extra, RETRAINED_ON: self.training.digest}
        return replace(meta, extra=extra, phantom=meta.phantom or self.training.phantom)

    def check_labels(self, meta: Meta) -> None:
        """Raise `CheckpointError` for a network of other labels than the data's."""
        if meta.labels != self.labels:
            raise CheckpointError(
                f"The network was trained on labels {meta.labels}, the data has {self.labels}.",
                cure=f"Set data.structures to {list(meta.labels)} where it was trained on some of them.",
            )

    def training_images(self) -> np.ndarray:
        """(N, H, W) float32, or (N, channels, H, W): every slice of the training patients on the network's grid, not
        augmented."""
        return np.concatenate([volume.images for volume in self.prepared(self.cases_of(self.split.train))])

    def prepared(self, cases: Sequence[Case]) -> list[Prepared]:
        """The cases on the network's grid, through the cache."""
        return prepare_all(cases, self.rules, cache=cache_dir(self.config), progress=self.progress)

    def check_data(self) -> None:
        """Read every image and mask of a run that has not begun, before anything is written; raises `DataError`."""
        return self._checked

    @cached_property
    def _checked(self) -> None:
        if self.readable and not self.run.data.is_file():
            self.prepared(self.training.cases)

    @property
    def cycles(self) -> list[Cycle]:
        """The configuration's further cycles of training, and those that `train --extend` has added to the run."""
        own = self.config.train.cycles
        earlier = intact(lambda: load_whole(self.run.config).train.cycles) or []
        return earlier if earlier[: len(own)] == own else own

    def describe(self, *used: str) -> None:
        """Write the configuration, the environment and the data's digest into the run folder; see `record_config`."""
        facts = self.data_facts() if self.readable else None  # first of all: bad data must leave nothing behind
        self.check_data()
        self.record_config("experiment", "data", "train", "evaluation", *used)
        write_json(self.run.environment, describe_environment())
        if facts is not None:
            write_json(self.run.data, facts)
            if self._split_file.stored(_restore_split) is None:
                self._split_file.store(asdict(self.split))

    def record_config(self, *used: str) -> None:
        """Write the sections that a command has used into the run's config.yaml.

        The others stay as the command that used them last has left them.
        """
        earlier = intact(lambda: load_whole(self.run.config)) or self.config
        values = {name: getattr(self.config, name) for name in used}
        if "train" in values:
            values["train"] = self.config.train.model_copy(update={"cycles": self.cycles})
        save_config(earlier.model_copy(update=values), self.run.config)

    def forget_cycles(self) -> None:
        """Leave of the further cycles those that the configuration itself has."""
        earlier = intact(lambda: load_whole(self.run.config))
        if earlier is not None:
            train = earlier.train.model_copy(update={"cycles": self.config.train.cycles})
            save_config(earlier.model_copy(update={"train": train}), self.run.config)

    def data_facts(self) -> dict[str, Any]:
        """What data.json says: the training data's digest, size and labels, and how it is prepared."""
        cohort = self.training
        facts = {"digest": cohort.digest, "phantom": cohort.phantom, "volumes": len(cohort.cases)}
        if cohort.folder in self.sound:
            facts["skipped"] = self.sound[cohort.folder][1]
        return {**facts, "preprocessing": self.rules.to_json(), "labels": self.labels}

    def _valued(self, folder: Path, cases: list[Case], wanted: list[str] | None, *, some: bool) -> list[Case]:
        """The cases with the structures that are wanted (None: all that count), in the network's values.

        `some`: those are enough that the masks tell. Raises `ConfigError` for others that they do not.
        """
        if _segments_regions(self.rules):
            raise ConfigError("The imported network segments regions; data is read here with labels.", cure=_AWAY)
        every = {**cases[0].labels, **cases[0].others}
        if odd := next((case for case in cases if {*case.labels, *case.others} != {*every}), None):
            other = ", ".join([*odd.labels, *odd.others])
            raise ConfigError(
                f"{folder} holds masks of {', '.join(every)} and of {other} ({odd.name}).",
                cure="Keep data sets of other structures apart.",
            )
        channels = self.channels if some or self.brought else cases[0].channels
        if odd := next((case for case in cases if case.channels != channels), None):
            raise ConfigError(
                f"{folder}: {odd.name} has {odd.channels} channel(s); {channels} are expected.",
                cure="Give a data set whose images all have the channels that the network takes.",
            )
        names = list(cases[0].labels) if wanted is None else [name for name in wanted if name in every]
        absent = [name for name in wanted or () if name not in every]
        if absent and (not some or not names):
            raise ConfigError(
                f"{folder} has no {', '.join(absent)}: its masks tell {', '.join(every)}.",
                cure=_AWAY if self.brought else "Name some of them in data.structures, or leave it null.",
            )
        if absent:
            self.progress.note(f"{folder}: {', '.join(names)} alone can be scored: its masks tell no {absent[0]}.")
        values = self.labels if some or self.brought else values_of(names)
        return [_with(case, names, {name: values[name] for name in names}) for case in cases]

    def _cohort(self, folder: Path, label_dir: str | None, wanted: list[str] | None, *, some: bool = False) -> Cohort:
        labels = None if label_dir is None else Path(label_dir)
        if self.config.train.skip_bad:
            cases = self._sound_cases(folder, labels)
        else:
            cases = find_cases(folder, label_dir=labels, recursive=self.config.data.recursive)
        if not cases:
            raise ConfigError(f"{folder} holds no cases.")
        cases = self._valued(folder, cases, wanted, some=some)
        phantom = is_phantom(folder) or any(is_phantom_image(s.image_path) for s in cases)
        for note in () if phantom else label_notes(cases):
            self.progress.note(f"{folder}: {note}")
        return Cohort(folder, cases, phantom)

    def _sound_cases(self, folder: Path, label_dir: Path | None) -> list[Case]:
        """The cases whose image and mask can be used; the others are told one by one, once."""
        if folder not in self.sound:
            cases, problems = sound_cases(folder, label_dir=label_dir, recursive=self.config.data.recursive)
            self.sound[folder] = cases, [problem.message for problem in problems]
            for problem in problems:
                self.progress.warn(f"Left out: {problem.message}")
            if problems:
                self.progress.warn(
                    f"{len(problems)} faults; {len(cases)} volumes go on. Set train.skip_bad: true in the "
                    "configuration, for every command of this run to leave out the same."
                )
        return self.sound[folder][0]


def _with(case: Case, names: Sequence[str], values: dict[str, int]) -> Case:
    """The case with these structures; what else its mask holds is background."""
    every = {**case.labels, **case.others}
    labels = {name: every[name] for name in names}
    return replace(case, labels=labels, others={n: v for n, v in every.items() if n not in labels}, values=values)


def suited(config: Config, meta: Meta) -> Config:
    """The configuration with the pruning that suits an imported network, where it does not ask for another.

    InstanceNorm divides the scale of a filter away, so that its norm says little; what counts is the norm's own scale
    (bn-scale), with compensation: benchmarks/NNUNET.md.
    """
    norm = str(dict(meta.arguments.get("settings") or {}).get("norm_op"))
    asked = config.pruning.model_fields_set
    wanted = {"method": "bn-scale", "compensate": True}
    changed = {key: value for key, value in wanted.items() if key not in asked}
    if not norm.startswith("InstanceNorm") or not changed:
        return config
    return config.model_copy(update={"pruning": config.pruning.but(**changed)})


def _segments_regions(rules: Rules) -> bool:
    return isinstance(rules, NnunetRules) and bool(rules.region_values)


def _restore_split(document: dict[str, Any]) -> Split:
    train, val, duplicates = (document[key] for key in ("train", "val", "duplicates"))
    return Split(tuple(train), tuple(val), tuple(map(tuple, duplicates)))
