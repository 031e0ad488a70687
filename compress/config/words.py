"""The words and bounds that values of the configuration share, and what a section of it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from compress.choices import calibration_words, criterion_words

PositiveInt = Annotated[int, Field(gt=0)]
Pixels = Annotated[int, Field(gt=0, le=1024)]
"""Of a window's side. A configuration of some bytes could otherwise ask for all memory, as by the next two."""
Channels = Annotated[int, Field(gt=0, le=4096)]
Batch = Annotated[int, Field(gt=0, le=4096)]
Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Init = Literal["keep", "random", "rewind"]
"""What the kept channels restart from: their trained weights, random ones, or those of early in training."""
INITS: tuple[Init, ...] = get_args(Init)
Scope = Literal["local", "global"]
Schedule = Literal["lr-rewind", "finetune"]
Align = Literal["auto", "none"] | int


def init_word(value: object) -> object:
    """`value`, or keep for the two other ways to say it: `none`, as up to version 0.4, and the thesis's null."""
    return "keep" if value is None or value == "none" else value


def _word(value: object, words: Mapping[str, str]) -> str:
    """The name that a word stands for; as pydantic says of a `Literal` where there is none."""
    if isinstance(value, str) and value in words:
        return words[value]
    *most, last = [f"'{name}'" for name in dict.fromkeys(words.values())]
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})


Method = Annotated[str, BeforeValidator(lambda value: _word(value, criterion_words()))]
"""A name in `compress.choices.CRITERIA`."""
Calibration = Annotated[str, BeforeValidator(lambda value: _word(value, calibration_words()))]
"""A name in `compress.choices.CALIBRATION_METHODS`, or auto."""


def check_align(value: object) -> Align:
    """`value` as an alignment; null means none. Raises `ValueError` for anything else than the three kinds."""
    if value is None:
        return "none"
    if isinstance(value, str) and value in ("auto", "none"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"ratios.align is {value!r}; auto, none or a positive whole number is needed")


class Section(BaseModel):
    """Unknown keys are errors; values are fixed once read.

    The text below a key is its comment in the file that `init` writes; `templates` knows the lists for words in braces.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, use_attribute_docstrings=True
    )
