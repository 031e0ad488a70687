"""The gate's verdict on a candidate: every endpoint and limit with its numbers, as a record and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from compress import records
from compress.errors import DataError
from compress.text import phantom_mark

SCHEMA = 1
COUNT = "masks"
"""The unit of what is counted."""
_NAMED = 3
"""The sentence holds this many reasons; all are in `reasons`."""


@dataclass(frozen=True)
class Named:
    """One of the two files."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Endpoint:
    """One quantity compared over patients; values in `unit`, None where no patient has one."""

    name: str
    unit: str
    n: int
    """Patients compared."""
    omitted: int
    """Patients without a value: a phase is missing, or a mask is empty."""
    baseline: float | None
    """Mean over the `n` patients."""
    candidate: float | None
    difference: float | None
    """candidate - baseline."""
    low: float | None
    """The lower end of the two-sided interval of the difference; None below two patients."""
    high: float | None
    margin: float
    worse: Literal["lower", "higher"]
    """Which direction of the difference is bad: "lower" for Dice, "higher" for distances and errors."""
    passed: bool


@dataclass(frozen=True)
class LimitCheck:
    """The worst of its kind, and what is accepted of it."""

    name: str
    """Such as "worst structure"."""
    what: str
    """What was worst, in words."""
    value: float
    """How much worse the candidate is there than the baseline: a loss of Dice, or a larger error; negative: better."""
    limit: float
    unit: str
    """The unit of value and limit; "" for Dice."""
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate may take the baseline's place, and why."""

    schema: int
    accepted: bool
    phantom: bool
    """True when the images are synthetic: the verdict then says nothing about patients."""
    baseline: Named
    candidate: Named
    confidence: float
    resamples: int
    seed: int
    patients: int
    volumes: int
    data: str
    """Digest of the cohort."""
    unseen_share: float
    """The share of patients that may suffer a failure which none of the cohort shows, at `confidence`."""
    endpoints: tuple[Endpoint, ...]
    limits: Annotated[tuple[LimitCheck, ...], Field(alias="guards")]
    """Called guards in the stored verdict."""
    reasons: tuple[str, ...]
    """Why it is refused; empty when it is accepted."""
    folds: int = 1
    """More than 1: so many pairs of networks by the same recipe, each scored on patients that neither has seen."""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        folds = f" in {self.folds} folds" if self.folds > 1 else ""
        mark, cohort = phantom_mark(self.phantom), f"{self.patients} patients{folds}, {self.volumes} volumes"
        names = self.candidate.name, self.baseline.name
        if self.accepted:
            return f"Accepted{mark}: {names[0]} is no worse than {names[1]} by more than the margins ({cohort})."
        return f"Refused{mark}: {names[0]} against {names[1]} ({cohort}): {self.why}."

    @property
    def why(self) -> str:
        """The first reasons in one line, and how many more there are."""
        more = [f"and {len(self.reasons) - _NAMED} more"] if len(self.reasons) > _NAMED else []
        return "; ".join([*self.reasons[:_NAMED], *more])

    @property
    def caveat(self) -> str:
        """What a cohort of this size cannot show."""
        return (
            f"A failure that none of these {self.patients} patients shows may still strike up to "
            f"{100 * self.unseen_share:.0f}% of patients like them ({100 * self.confidence:g}% confidence)."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps` and `from_json`."""
        return records.as_json(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote. Raises `DataError` naming the first fault, or another schema."""
        found = records.from_json(cls, value, what="a verdict", cure="Run the gate again.")
        if found.schema != SCHEMA:
            raise DataError(f"The verdict has schema {found.schema}; this version reads {SCHEMA}.")
        return found
