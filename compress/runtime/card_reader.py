"""Typed access to a JSON document inside a model file, which may have been damaged or forged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.errors import ModelFileError
from compress.files import parse_json

MAX_SIDE = 1024
"""Largest window in pixels; a forged card must not ask for images that fill the memory."""

DAMAGED = "Export the model again."


def parse(text: str, path: Path) -> dict[str, Any]:
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as fault:
        raise ModelFileError(f"The model card in {path} is not JSON: {fault}.", cure=DAMAGED) from None
    if not isinstance(document, dict):
        raise ModelFileError(f"The model card in {path} is not a JSON object.", cure=DAMAGED)
    return document


@dataclass(frozen=True)
class Reader:
    """A document, and the file to name where a field is missing or wrong (`ModelFileError`)."""

    document: dict[str, Any]
    path: Path

    def fault(self, place: str, got: str) -> ModelFileError:
        return ModelFileError(f"The model card in {self.path} is damaged: '{place}' is {got}.", cure=DAMAGED)

    def get(self, kind: type | tuple[type, ...], *place: str) -> Any:
        value: Any = self.document
        for key in place:
            if not isinstance(value, dict) or key not in value:
                raise self.fault(".".join(place), "missing")
            value = value[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.fault(".".join(place), json.dumps(value)[:60])
        return value

    def count(self, *place: str) -> int:
        value = self.get(int, *place)
        if not 1 <= value <= MAX_SIDE:
            raise self.fault(".".join(place), f"{value}, not from 1 to {MAX_SIDE}")
        return value

    def table(self, place: str, kind: type) -> dict[str, Any]:
        table = self.get(dict, place)
        for key, value in table.items():
            if not isinstance(value, kind) or isinstance(value, bool):
                raise self.fault(f"{place}.{key}", json.dumps(value)[:60])
        return table

    def pair(self, value: tuple[Any, ...], place: str, low: float, high: float) -> None:
        plain = len(value) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not plain or not all(low <= v <= high for v in value):
            raise self.fault(place, f"{json.dumps(value)[:60]}, not two numbers from {low:g} to {high:g}")
