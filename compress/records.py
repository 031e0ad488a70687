"""Records, which are dataclasses, as plain JSON values and back, checked by their types."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from compress.errors import DataError

T = TypeVar("T")


def as_json(record: object) -> dict[str, Any]:
    """Plain values, ready for `json.dumps` and `from_json`."""
    return TypeAdapter(type(record)).dump_python(record, mode="json", by_alias=True)


def from_json(kind: type[T], value: object, *, what: str, cure: str) -> T:
    """The record of class `kind` that `as_json` wrote.

    Raises `DataError` for anything else: the first fault, `what` it should be, such as "a verdict", and the `cure`.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise DataError(f"Not {what}: {where}: {first['msg']}.", cure=cure) from None
