"""Scores of single volumes, and the report over all of them: tables, groups, clinical agreement, JSON, Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compress import records
from compress.data.volume import Volume, check_spacing
from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES, Agreement, PhaseVolumes, clinical_agreement
from compress.evaluate.metrics import METRICS, StructureScore, SurfaceDistance, check_masks, score_structure
from compress.text import MISSING, Markdown, dash, markdown_table, plain, span, spread

MEAN = "mean"
"""Name of the table rows that average over structures."""
ALL_PHASES = "all"
"""Name of the table rows over volumes of every phase."""


@dataclass(frozen=True)
class VolumeScore:
    """All structures of one volume."""

    patient: str
    phase: str
    """"ED", "ES" or "" when unknown."""
    group: str | None
    structures: dict[str, StructureScore]
    surface_measured: bool
    """Whether HD95 was computed: tells an undefined distance from one that nobody asked for."""

    @property
    def name(self) -> str:
        """Such as "patient001_ED"."""
        return f"{self.patient}_{self.phase}" if self.phase else self.patient

    @property
    def mean_dice(self) -> float:
        """Mean 3D Dice over structures."""
        return float(np.mean([score.overlap["dice"] for score in self.structures.values()]))


@dataclass(frozen=True)
class TableRow:
    """Mean and sample SD of each metric over `n` volumes; None where no value (mean) or fewer than two (SD) exist."""

    structure: str
    phase: str
    n: int
    mean: dict[str, float | None]
    sd: dict[str, float | None]
    undefined_hd95: int
    """Distances that were asked for and are undefined because a mask is empty."""


def score_volume(
    prediction: np.ndarray, volume: Volume, *, labels: Mapping[str, int], surface: SurfaceDistance | None = None
) -> VolumeScore:
    """Score a predicted label array (Z, Y, X) against the mask of the volume on whose native grid it lies.

    `labels` maps structure names to label values. Pass `compress.evaluate.surface.hd95` as `surface` to measure
    surface distances; it needs torch, so this module does not import it. Raises `DataError` when shapes, dtypes,
    spacing or the label map do not fit, and for a volume without a mask.
    """
    case, reference = volume.case, volume.mask
    if reference is None:
        raise DataError(f"{case.name} has no reference mask.", cure="Score labelled volumes.")
    check_masks(prediction, reference)
    spacing = check_spacing(volume.spacing, case.name)
    if prediction.ndim != 3 or not labels:
        raise DataError(
            f"Got shape {prediction.shape} and labels {dict(labels)}; need (Z, Y, X) and at least one structure.",
            cure="Score whole volumes with their label map.",
        )
    structures = {
        name: score_structure(prediction == value, reference == value, spacing, surface)
        for name, value in labels.items()
    }
    return VolumeScore(case.patient, case.phase, case.group, structures, surface is not None)


def evaluate(scores: Iterable[VolumeScore]) -> EvaluationReport:
    """The report over `scores`; `DataError` when there are none, when one comes twice or their structures differ."""
    volumes = tuple(scores)
    if not volumes or not volumes[0].structures:
        raise DataError("No volumes or no structures were scored.", cure="Check the data folder and the split.")
    names = [volume.name for volume in volumes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"Scored more than once: {', '.join(twice)}.", cure="Score each volume once.")
    for volume in volumes:
        if list(volume.structures) != list(volumes[0].structures):
            raise DataError(
                f"{volume.name} has structures {list(volume.structures)}, {names[0]} {list(volumes[0].structures)}.",
                cure="Use one label map for all volumes.",
            )
    return EvaluationReport(volumes)


@dataclass(frozen=True)
class EvaluationReport:
    """Scores of a whole data set; everything but `volumes` is derived from them. Built by `evaluate`."""

    volumes: tuple[VolumeScore, ...]

    @property
    def structures(self) -> list[str]:
        """Structure names in the label map's order."""
        return list(self.volumes[0].structures)

    @property
    def mean_dice(self) -> float:
        """3D Dice, mean over volumes and structures."""
        return float(np.mean([volume.mean_dice for volume in self.volumes]))

    @property
    def dice(self) -> dict[str, float]:
        """3D Dice by name: "mean", then every structure."""
        return {"mean": self.mean_dice, **self.structure_dice}

    @property
    def structure_dice(self) -> dict[str, float]:
        """3D Dice per structure, mean over volumes."""
        return {
            name: float(np.mean([volume.structures[name].overlap["dice"] for volume in self.volumes]))
            for name in self.structures
        }

    @property
    def group_dice(self) -> dict[str, float]:
        """Mean 3D Dice (over volumes and structures) per disease group; volumes of unknown group count as "?"."""
        groups = sorted({volume.group or "?" for volume in self.volumes})
        return {
            group: float(np.mean([volume.mean_dice for volume in self.volumes if (volume.group or "?") == group]))
            for group in groups
        }

    @property
    def worst(self) -> VolumeScore:
        """The volume with the lowest mean Dice (the first by name on a tie)."""
        return min(self.volumes, key=lambda volume: (volume.mean_dice, volume.name))

    @property
    def best(self) -> VolumeScore:
        """The volume with the highest mean Dice (the first by name on a tie)."""
        return min(self.volumes, key=lambda volume: (-volume.mean_dice, volume.name))

    def phase_volumes(self) -> list[PhaseVolumes]:
        """Volumes in ml per patient and phase: the input of `compress.evaluate.clinical`."""
        return [
            PhaseVolumes(
                volume.patient,
                volume.phase,
                {name: score.prediction_ml for name, score in volume.structures.items()},
                {name: score.reference_ml for name, score in volume.structures.items()},
            )
            for volume in self.volumes
        ]

    def clinical(self) -> dict[str, Agreement]:
        """Agreement on every clinical quantity."""
        return clinical_agreement(self.phase_volumes())

    def table(self) -> list[TableRow]:
        """One row per phase and structure, plus the mean over structures; then over all phases when several exist."""
        known = {"ED": 0, "ES": 1}
        phases = sorted({volume.phase for volume in self.volumes}, key=lambda phase: (known.get(phase, 2), phase))
        blocks = [(phase, [volume for volume in self.volumes if volume.phase == phase]) for phase in phases]
        blocks += [(ALL_PHASES, list(self.volumes))] if len(phases) > 1 else []
        return [_row(name, phase, found) for phase, found in blocks for name in (*self.structures, MEAN)]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types without NaN. Only `volumes` is read back; the rest is derived, for readers' convenience."""
        return {
            "mean_dice": self.mean_dice,
            "structure_dice": self.structure_dice,
            "group_dice": self.group_dice,
            "best": self.best.name,
            "worst": self.worst.name,
            "table": [asdict(row) for row in self.table()],
            "clinical": {
                name: {"unit": QUANTITIES[name].unit, **asdict(found), "limits": found.limits and list(found.limits)}
                for name, found in self.clinical().items()
            },
            "volumes": [asdict(volume) for volume in self.volumes],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EvaluationReport:
        """The report that `to_json` wrote; `DataError` when it is not one."""
        stored = records.from_json(EvaluationReport, value, what="an evaluation report", cure="Evaluate again.")
        for volume in stored.volumes:
            for name, score in volume.structures.items():
                if not _possible(score):
                    raise DataError(
                        f"Not an evaluation report: {volume.name}'s {name} has scores that no masks give.",
                        cure="Evaluate again.",
                    )
        return evaluate(stored.volumes)

    def to_markdown(self, *, clinical: bool = True) -> Markdown:
        """The tables as Markdown, for people; without `clinical` when whole volumes were not scored."""
        first = (
            f"Mean 3D Dice {self.mean_dice:.4f} over {len(self.volumes)} volumes and {len(self.structures)} "
            f"structures. Best {self.best.name} ({self.best.mean_dice:.3f}), "
            f"worst {self.worst.name} ({self.worst.mean_dice:.3f})."
        )
        groups = [[name, f"{value:.3f}"] for name, value in self.group_dice.items()]
        parts = [plain(first), _overlap_markdown(self.table()), markdown_table(["group", "mean Dice"], groups)]
        parts += [_clinical_markdown(self.clinical())] if clinical else []
        return Markdown("\n\n".join(parts) + "\n")


_MOST = 1e6
"""Millilitres and millimetres that no heart has; sums of more could overflow."""


def _possible(score: StructureScore) -> bool:
    """Whether every metric is there and every value lies where the metrics end."""
    shares = [*score.overlap.values(), score.slice_dice]
    sizes = [score.prediction_ml, score.reference_ml, score.hd95_mm or 0.0]
    return (
        score.overlap.keys() == METRICS.keys()
        and all(0.0 <= value <= 1.0 for value in shares)
        and all(0.0 <= value <= _MOST for value in sizes)
    )


def _volume_values(volume: VolumeScore, structure: str) -> dict[str, float | None]:
    """Metrics of one structure; for `MEAN` the mean over the structures that have a value."""
    if structure != MEAN:
        return volume.structures[structure].values()
    columns = [score.values() for score in volume.structures.values()]
    return {name: _mean([column[name] for column in columns]) for name in columns[0]}


def _row(structure: str, phase: str, volumes: Sequence[VolumeScore]) -> TableRow:
    values = [_volume_values(volume, structure) for volume in volumes]
    undefined = sum(
        volume.surface_measured and score.hd95_mm is None
        for volume in volumes
        for name, score in volume.structures.items()
        if structure in (name, MEAN)
    )
    columns = {name: [value[name] for value in values] for name in values[0]}
    mean, sd = ({name: statistic(column) for name, column in columns.items()} for statistic in (_mean, _sd))
    return TableRow(structure, phase, len(volumes), mean, sd, undefined)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sd(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _overlap_markdown(rows: Sequence[TableRow]) -> Markdown:
    digits = {"hd95_mm": ".2f"}
    names = list(rows[0].mean)
    body = [
        [row.phase or MISSING, row.structure, str(row.n)]
        + [spread(row.mean[name], row.sd[name], digits.get(name, ".3f")) for name in names]
        + [str(row.undefined_hd95)]
        for row in rows
    ]
    return markdown_table(["phase", "structure", "n", *names, "HD95 undefined"], body)


def _clinical_markdown(found: Mapping[str, Agreement]) -> Markdown:
    head = ["quantity", "unit", "n", "omitted", "bias ± SD", "95% limits", "r", "MAE"]
    rows = []
    for name, item in found.items():
        counts = [str(item.n), str(item.omitted)]
        figures = [spread(item.bias, item.sd, ".2f"), span(*(item.limits or (None, None)), ".1f")]
        figures += [dash(item.correlation, ".3f"), dash(item.mae, ".2f")]
        rows.append([name, QUANTITIES[name].unit, *counts, *figures])
    return markdown_table(head, rows)
