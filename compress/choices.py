"""What users choose by name, one row each: its help, what it can do, and where the code behind it is.

Reading a row needs neither torch nor ONNX Runtime, so help texts, the configuration and the code
that computes all read these same rows. Execution providers are the third such table
(`compress.runtime.providers`).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compress.registry import pick


@dataclass(frozen=True)
class Criterion:
    """One way to rank the units of a channel group."""

    help: str
    function: str | Callable[..., Any]
    """(group, context) -> scores (width,), see `compress.prune.criteria`; as "module:name" it is imported when used."""
    needs_gradients: bool = False
    """Whether the context must hold gradients."""
    aliases: tuple[str, ...] = ()
    """Other words for it in configurations."""

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return pkgutil.resolve_name(self.function) if isinstance(self.function, str) else self.function


CRITERIA: dict[str, Criterion] = {
    "l1": Criterion(
        "L1 norm of filters and of what reads them",
        "compress.prune.criteria:l1",
        aliases=("l1_norm",),  # the thesis's word
    ),
    "l2": Criterion("Euclidean norm of the same", "compress.prune.criteria:l2"),
    "bn-scale": Criterion("what BatchNorm lets pass", "compress.prune.criteria:bn_scale"),
    "fpgm": Criterion("distance to the other filters", "compress.prune.criteria:fpgm"),
    "taylor": Criterion(
        "change of the loss, by gradients on training slices", "compress.prune.criteria:taylor", needs_gradients=True
    ),
    "random": Criterion("the control", "compress.prune.criteria:random_order"),
}
"""To add an importance criterion, write its function and add its row."""


def criterion_words() -> dict[str, str]:
    """Every word for a criterion, aliases included -> its name."""
    return {word: name for name, row in CRITERIA.items() for word in (name, *row.aliases)}


@dataclass(frozen=True)
class CalibrationMethod:
    """How the range of an activation follows from the values seen."""

    help: str
    function: str | Callable[..., Any]
    """(histogram) -> range, see `compress.export.ranges`; as "module:name" it is imported when used."""
    counts: bool = True
    """Whether it asks how often which values are taken, which needs a second pass over the images."""

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return pkgutil.resolve_name(self.function) if isinstance(self.function, str) else self.function


CALIBRATION_METHODS: dict[str, CalibrationMethod] = {
    "minmax": CalibrationMethod("all values", "compress.export.ranges:minmax", counts=False),
    "percentile": CalibrationMethod("99.999% of the values", "compress.export.ranges:percentile"),
    "entropy": CalibrationMethod("the least loss of information, Migacz 2017", "compress.export.ranges:entropy"),
}
"""To add a calibration method, write its function and add its row."""

EVERY_METHOD = "auto"
"""The word for all calibration methods: the best Dice decides."""


def calibration_words() -> dict[str, str]:
    """Every word for calibration methods: auto, and each one's own name."""
    return {name: name for name in (EVERY_METHOD, *CALIBRATION_METHODS)}


def calibration_methods(word: str) -> tuple[str, ...]:
    """The calibration methods that a word stands for. Raises `ConfigError` for an unknown one."""
    chosen = pick("calibration method", calibration_words(), word)
    return tuple(CALIBRATION_METHODS) if chosen == EVERY_METHOD else (chosen,)
